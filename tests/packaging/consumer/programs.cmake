# SPDX-License-Identifier: Apache-2.0
# The consumer's two programs: one with the base library alone, one with everything.

# Nothing of veneer's own development reaches a project that uses it.
foreach(target test_main veneer)
  if(TARGET ${target})
    message(FATAL_ERROR "the consumer's build has veneer's own target ${target}")
  endif()
endforeach()
get_target_property(options veneer::veneer INTERFACE_COMPILE_OPTIONS)
if(options)
  message(FATAL_ERROR "veneer::veneer passes compile options on: ${options}")
endif()

add_executable(consumer_base "${CMAKE_CURRENT_LIST_DIR}/base.cpp")
target_link_libraries(consumer_base PRIVATE veneer::veneer)

# Two files include everything: a function that is not inline would be defined twice.
add_executable(consumer_all "${CMAKE_CURRENT_LIST_DIR}/all.cpp" "${CMAKE_CURRENT_LIST_DIR}/again.cpp")
target_link_libraries(consumer_all PRIVATE veneer::text)
