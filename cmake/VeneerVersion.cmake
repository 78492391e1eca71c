# SPDX-License-Identifier: Apache-2.0
# Reads the version from the header that states it.

function(veneer_read_version result header)
  file(READ "${header}" text)
  foreach(part major minor patch)
    if(NOT text MATCHES "version_${part} = ([0-9]+);")
      message(FATAL_ERROR "veneer: ${header} does not state version_${part}")
    endif()
    list(APPEND numbers "${CMAKE_MATCH_1}")
  endforeach()
  list(JOIN numbers "." version)
  if(NOT text MATCHES "version_text = \"${version}\"")
    message(FATAL_ERROR "veneer: version_text in ${header} must be \"${version}\", the three numbers above it")
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()
