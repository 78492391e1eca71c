// SPDX-License-Identifier: Apache-2.0
/// \file file.hpp
/// Files: read whole or mapped (`read_text`, `MappedFile`), written in full or not at all (`AtomicFile`,
/// `write_atomically`, `AtomicFolder`), and names out of other files kept inside their folder (`check_file_name`,
/// `file_inside`).
#pragma once

#include "veneer/io/file/atomic_file.hpp"    // IWYU pragma: export
#include "veneer/io/file/atomic_folder.hpp"  // IWYU pragma: export
#include "veneer/io/file/read.hpp"           // IWYU pragma: export
