#include "engine/state.h"

namespace wengert {

thread_local constinit ThreadState thread_state;

}  // namespace wengert
