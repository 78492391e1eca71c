# SPDX-License-Identifier: Apache-2.0
# Finds PCRE2's 8-bit library and defines veneer::pcre2.
find_path(VENEER_PCRE2_INCLUDE_DIR pcre2.h)
find_library(VENEER_PCRE2_LIBRARY NAMES pcre2-8 pcre2-8-static)
mark_as_advanced(VENEER_PCRE2_INCLUDE_DIR VENEER_PCRE2_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VeneerPcre2 REQUIRED_VARS VENEER_PCRE2_LIBRARY VENEER_PCRE2_INCLUDE_DIR)

if(VeneerPcre2_FOUND AND NOT TARGET veneer::pcre2)
  add_library(veneer::pcre2 INTERFACE IMPORTED)
  target_include_directories(veneer::pcre2 INTERFACE "${VENEER_PCRE2_INCLUDE_DIR}")
  target_link_libraries(veneer::pcre2 INTERFACE "${VENEER_PCRE2_LIBRARY}")
endif()
