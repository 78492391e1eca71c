# SPDX-License-Identifier: Apache-2.0
# The components that need more than Eigen. Each is added if its requirements are found, and omitted otherwise;
# veneer_require_component() reports a missing one with the names of its packages.
#
#   veneer::io    safetensors, JSON, adapter folders       veneer::veneer + nlohmann-json
#   veneer::text  tokenizers, chat templates, data sets    veneer::io + PCRE2 (8 bit) + utf8proc + sentencepiece
#   veneer::cuda  the CUDA backend                         veneer::veneer + CUDA toolkit

set(VENEER_PACKAGES_io "nlohmann-json3-dev")
set(VENEER_PACKAGES_text "nlohmann-json3-dev libpcre2-dev libutf8proc-dev libsentencepiece-dev")
set(VENEER_PACKAGES_cuda "the CUDA toolkit, and CUDA enabled as a language before veneer is looked for")

# kind: ALIAS inside this source tree (our headers are then ordinary headers, warnings on), IMPORTED in a package.
macro(veneer_add_component kind name)
  if("${kind}" STREQUAL "ALIAS")
    add_library(veneer_${name} INTERFACE)
    add_library(veneer::${name} ALIAS veneer_${name})
    target_link_libraries(veneer_${name} INTERFACE ${ARGN})
    set(veneer_component_target veneer_${name})
  else()
    add_library(veneer::${name} INTERFACE IMPORTED)
    target_link_libraries(veneer::${name} INTERFACE ${ARGN})
    set(veneer_component_target veneer::${name})
  endif()
endmacro()

# A macro: the packages it finds must be visible where it is called.
macro(veneer_add_components kind)
  if(NOT TARGET veneer::io)
    if(NOT TARGET nlohmann_json::nlohmann_json)
      find_package(nlohmann_json 3.11 QUIET CONFIG)
    endif()
    if(TARGET nlohmann_json::nlohmann_json)
      veneer_add_component(${kind} io veneer::veneer nlohmann_json::nlohmann_json)
    endif()
  endif()

  if(NOT TARGET veneer::text AND TARGET veneer::io)
    find_package(VeneerPcre2 QUIET MODULE)
    find_package(VeneerUtf8proc QUIET MODULE)
    find_package(VeneerSentencepiece QUIET MODULE)
    if(TARGET veneer::pcre2 AND TARGET veneer::utf8proc AND TARGET veneer::sentencepiece)
      veneer_add_component(${kind} text veneer::io veneer::pcre2 veneer::utf8proc veneer::sentencepiece)
    endif()
  endif()

  if(NOT TARGET veneer::cuda AND CMAKE_CUDA_COMPILER_LOADED)
    find_package(CUDAToolkit QUIET)
    if(TARGET CUDA::cublasLt)
      veneer_add_component(${kind} cuda veneer::veneer CUDA::cudart CUDA::cublas CUDA::cublasLt)
      # CMake 3.25 does not support C++20 for nvcc 13 and drops CMAKE_CUDA_STANDARD, so the flag is set here.
      target_compile_options(${veneer_component_target} INTERFACE
        "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
    endif()
  endif()
endmacro()

function(veneer_require_component name purpose)
  if(NOT TARGET veneer::${name})
    message(FATAL_ERROR "veneer: ${purpose} need(s) veneer::${name}, and what it builds on was not found. "
                        "Install (Debian): ${VENEER_PACKAGES_${name}}")
  endif()
endfunction()
