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

# pip unpacks what a build requires at a new place each time. Copies at a place that stays, written
# only when they differ, spare a second install from compiling the bindings again.
if(SKBUILD)
  set(headers ${PROJECT_BINARY_DIR}/pybind11-headers)
  file(GLOB_RECURSE names RELATIVE ${pybind11_INCLUDE_DIR} ${pybind11_INCLUDE_DIR}/pybind11/*.h)
  foreach(name IN LISTS names)
    get_filename_component(directory ${headers}/${name} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    file(COPY_FILE ${pybind11_INCLUDE_DIR}/${name} ${headers}/${name} ONLY_IF_DIFFERENT)
  endforeach()
  set_target_properties(pybind11::pybind11_headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${headers})
endif()
