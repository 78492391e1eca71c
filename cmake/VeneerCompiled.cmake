# SPDX-License-Identifier: Apache-2.0
# veneer::compiled and veneer::compiled_cpu: instantiations of the library that are compiled once for all sources of a
# build (include/veneer/compiled.hpp), and headers with their declarations, included before each source of a target that
# links them.

# One source for each header of compiled/: its declarations without `extern` are the definitions.
function(veneer_compiled_source result name)
  set(header "${PROJECT_SOURCE_DIR}/include/veneer/compiled/${name}.hpp")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
  file(READ "${header}" text)
  string(REPLACE "#pragma once\n" "#include \"veneer/compiled/${name}.hpp\"\n" text "${text}")
  string(REPLACE "extern template" "template" text "${text}")
  set(source "${PROJECT_BINARY_DIR}/compiled/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT "${text}" @ONLY)
  set(${result} "${source}" PARENT_SCOPE)
endfunction()

# veneer_add_compiled(NAME LIBRARY HEADER NAMES...): the library NAME over LIBRARY.
function(veneer_add_compiled name library header)
  foreach(part IN LISTS ARGN)
    veneer_compiled_source(source ${part})
    list(APPEND sources "${source}")
  endforeach()
  add_library(veneer_${name} STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(veneer::${name} ALIAS veneer_${name})
  set_target_properties(veneer_${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(veneer_${name} PUBLIC ${library} PRIVATE veneer_own_flags)
  target_compile_options(veneer_${name} INTERFACE "$<$<COMPILE_LANGUAGE:CXX,CUDA>:SHELL:-include veneer/${header}>")
endfunction()

veneer_add_compiled(compiled_cpu veneer::veneer compiled/cpu.hpp cpu)
veneer_light(veneer_compiled_cpu)
if(TARGET veneer::io)
  veneer_add_compiled(compiled veneer::io compiled.hpp llama adapters)
  target_link_libraries(veneer_compiled PUBLIC veneer_compiled_cpu)
  veneer_light(veneer_compiled)
endif()
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")  # every test that multiplies would run for a minute without optimisation
  target_compile_options(veneer_compiled_cpu PRIVATE -O1)
endif()
