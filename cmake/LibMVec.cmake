# glibc's vector mathematics, where there is one. WENGERT_LIBMVEC says that every function has a vector
# variant (glibc 2.35); WENGERT_LIBMVEC_BASIC, that exp, log, pow, sin and cos have (glibc 2.22, so
# also the images that portable wheels are built in).
include(CheckCXXSourceCompiles)

# Is there a vector variant of FUNCTION? Asked by the name of its AVX2 form.
function(wengert_check_vector_variant function result)
  set(CMAKE_REQUIRED_LIBRARIES mvec m)
  check_cxx_source_compiles("
    extern \"C\" void _ZGVdN4v_${function}();
    int main() { _ZGVdN4v_${function}(); }" ${result})
endfunction()

if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  wengert_check_vector_variant(exp WENGERT_HAVE_VECTOR_EXP)
  wengert_check_vector_variant(tanh WENGERT_HAVE_VECTOR_TANH)
  if(WENGERT_HAVE_VECTOR_EXP)
    target_compile_definitions(wengert_engine PRIVATE WENGERT_LIBMVEC_BASIC)
    target_link_libraries(wengert_engine PUBLIC mvec)
  endif()
  if(WENGERT_HAVE_VECTOR_TANH)
    target_compile_definitions(wengert_engine PRIVATE WENGERT_LIBMVEC)
  endif()
endif()
