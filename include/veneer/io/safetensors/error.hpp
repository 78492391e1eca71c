// SPDX-License-Identifier: Apache-2.0
/// \file error.hpp
/// The errors of safetensors files: one code per rule, so that programs and tests can distinguish them.
///
/// The rules are those of huggingface/safetensors (safetensors/src/tensor.rs, whose error is in parentheses), and
/// further ones, marked "stricter".
#pragma once

#include <string>

#include "veneer/core/error.hpp"

namespace veneer {

enum class SafetensorsError {
  header_too_small,         // fewer than 8 bytes (HeaderTooSmall)
  header_too_large,         // a header of more than 100,000,000 bytes (HeaderTooLarge)
  invalid_header_length,    // the header ends after the end of the file (InvalidHeaderLength)
  invalid_header_encoding,  // the header is not UTF-8 (InvalidHeader)
  invalid_header,    // not JSON, or not of the form name -> {dtype, shape, data_offsets} (InvalidHeaderDeserialization)
  unknown_dtype,     // an unknown type (InvalidHeaderDeserialization)
  invalid_metadata,  // __metadata__ is not a map from text to text (InvalidHeaderDeserialization)
  hole_between_tensors,  // unused bytes between two tensors (InvalidOffset)
  invalid_offset,        // a tensor that ends before it begins (InvalidOffset)
  overlapping_tensors,   // two tensors share bytes (InvalidOffset); empty tensors may be at a boundary
  size_overflow,         // the size of a tensor does not fit 64 bits (ValidationOverflow)
  misaligned_tensor,     // a packed tensor that ends within a byte (MisalignedSlice)
  size_mismatch,         // dtype and shape need another number of bytes than the offsets span (TensorInvalidInfo)
  incomplete_buffer,     // missing or extra bytes at the end of the file (MetadataIncompleteBuffer)
  duplicate_name,        // stricter: a duplicate tensor, metadata key or field
  invalid_name,          // stricter: an empty name, one with a NUL, one of more than 1 KiB
  too_many_dimensions,   // stricter: more than 8
  too_many_tensors,      // stricter: more than 2^20 tensors or 2^16 metadata entries
  invalid_number,        // stricter: a negative number, a fraction, an exponent, or more than 64 bits
  nested_too_deep,       // stricter: more than 3 levels of JSON
  tensor_not_found,      // a requested name that is not in the file (TensorNotFound)
};

/// A file that violates a rule of safetensors: the rule, and in `what()` the file, the tensor, the value found and
/// the value expected.
struct SafetensorsFormatError : FormatError {
  SafetensorsFormatError(SafetensorsError broken, const std::string& message) : FormatError(message), code(broken) {}
  SafetensorsError code;
};

}  // namespace veneer
