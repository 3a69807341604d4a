from wengert._core import *
from wengert._core import Tensor
