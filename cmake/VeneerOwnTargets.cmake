# SPDX-License-Identifier: Apache-2.0
# Flags of this project's own targets. They do not affect users of the library.

add_library(veneer_own_flags INTERFACE)
target_compile_options(veneer_own_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wsign-conversion;-Wshadow>")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 gives false alarms in what it inlines of libstdc++ at -O3: an overlapping copy in every `"text" + std::string`
  # (its bug 105651), a vector that grows from nothing written past its end (bugs of the same kind). clang and the
  # sanitizers look at the same code.
  set(veneer_false_alarms restrict stringop-overflow stringop-overread array-bounds maybe-uninitialized)
  foreach(alarm IN LISTS veneer_false_alarms)
    target_compile_options(veneer_own_flags INTERFACE
      "$<$<COMPILE_LANGUAGE:CXX>:-Wno-${alarm}>" "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wno-${alarm}>")
  endforeach()
endif()
if(VENEER_WERROR)
  target_compile_options(veneer_own_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Werror>")
endif()
if(VENEER_NATIVE)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-march=native VENEER_HAS_MARCH_NATIVE)
  if(VENEER_HAS_MARCH_NATIVE)
    target_compile_options(veneer_own_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-march=native>")
  endif()
endif()
if(VENEER_WITH_CUDA)
  # 177: a member that only generic code reads is "never referenced" to nvcc; the host compilers handle it correctly.
  target_compile_options(veneer_own_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;-diag-suppress=177>")
  if(VENEER_WERROR)
    target_compile_options(veneer_own_flags INTERFACE
      "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
  endif()
endif()

# A target whose speed is irrelevant for tests: the test run compiles it with less optimisation, in two thirds of the time.
function(veneer_light target)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${VENEER_LIGHT_FLAGS}>")
endfunction()

# Common settings of the programs of this project.
function(veneer_own_program target)
  target_link_libraries(${target} PRIVATE veneer_own_flags)
  if(TARGET veneer::text)
    target_link_libraries(${target} PRIVATE veneer::text veneer::compiled)
  else()
    target_link_libraries(${target} PRIVATE veneer::compiled_cpu)
  endif()
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/examples")
endfunction()

# A program of one file that no test runs. With VENEER_PROGRAMS_AS_ONE its `main` gets another name, and all such files
# become one object: most of their time goes into the same instantiations.
function(veneer_program name source)
  if(VENEER_PROGRAMS_AS_ONE)
    set(renamed "${CMAKE_CURRENT_BINARY_DIR}/${name}_renamed.cpp")
    string(CONFIGURE [[
#pragma GCC diagnostic ignored "-Wreturn-type"  // only main may end without a value
#define main main_of_@name@
#include "@source@"
#undef main
]] text @ONLY)
    file(CONFIGURE OUTPUT "${renamed}" CONTENT "${text}" @ONLY)
    if(NOT TARGET programs)
      add_library(programs OBJECT)
    endif()
    target_sources(programs PRIVATE "${renamed}")
    set(name programs)
  else()
    add_executable(${name} "${source}")
  endif()
  veneer_own_program(${name})
  veneer_light(${name})
endfunction()

# Reports a missing requirement of an enabled option: its name, its package, and how to disable the option.
function(veneer_missing what package option)
  message(FATAL_ERROR "veneer: ${what} was not found. Install it (Debian: apt-get install ${package}), "
                      "or configure with -D${option}=OFF.")
endfunction()
