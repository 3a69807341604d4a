# Finds pybind11, also when it was installed with pip and CMake was not told where.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT SKBUILD AND NOT pybind11_DIR)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -m pybind11 --cmakedir
    OUTPUT_VARIABLE pip_pybind11_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(pip_pybind11_dir)
    set(pybind11_DIR ${pip_pybind11_dir} CACHE PATH "" FORCE)
  endif()
endif()
find_package(pybind11 2.13 CONFIG REQUIRED)
