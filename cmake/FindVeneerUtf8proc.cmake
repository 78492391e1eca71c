# SPDX-License-Identifier: Apache-2.0
# Finds utf8proc and defines veneer::utf8proc.
find_path(VENEER_UTF8PROC_INCLUDE_DIR utf8proc.h)
find_library(VENEER_UTF8PROC_LIBRARY NAMES utf8proc)
mark_as_advanced(VENEER_UTF8PROC_INCLUDE_DIR VENEER_UTF8PROC_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VeneerUtf8proc REQUIRED_VARS VENEER_UTF8PROC_LIBRARY VENEER_UTF8PROC_INCLUDE_DIR)

if(VeneerUtf8proc_FOUND AND NOT TARGET veneer::utf8proc)
  add_library(veneer::utf8proc INTERFACE IMPORTED)
  target_include_directories(veneer::utf8proc INTERFACE "${VENEER_UTF8PROC_INCLUDE_DIR}")
  target_link_libraries(veneer::utf8proc INTERFACE "${VENEER_UTF8PROC_LIBRARY}")
endif()
