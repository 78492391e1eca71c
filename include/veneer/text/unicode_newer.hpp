// SPDX-License-Identifier: Apache-2.0
/// \file unicode_newer.hpp
/// Characters assigned in Unicode 15 and 16, with their general category (Unicode 16.0, UnicodeData.txt).
///
/// PCRE2 10.42 has the tables of Unicode 14 and utf8proc 2.8 those of Unicode 15, while vocabularies are made
/// with newer tables.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utf8proc.h>

namespace veneer {

/// The first and the last code point of a run.
struct CodePointRange {
  char32_t first;
  char32_t last;
};

namespace detail {

/// A run of newer characters of one general category.
struct NewerRange {
  char32_t first;
  char32_t last;
  utf8proc_category_t category;
};

inline constexpr auto newer_characters =
    std::to_array<NewerRange>({{0x897, 0x897, UTF8PROC_CATEGORY_MN},     {0xCF3, 0xCF3, UTF8PROC_CATEGORY_MC},
                               {0xECE, 0xECE, UTF8PROC_CATEGORY_MN},     {0x1B4E, 0x1B4F, UTF8PROC_CATEGORY_PO},
                               {0x1B7F, 0x1B7F, UTF8PROC_CATEGORY_PO},   {0x1C89, 0x1C89, UTF8PROC_CATEGORY_LU},
                               {0x1C8A, 0x1C8A, UTF8PROC_CATEGORY_LL},   {0x2427, 0x2429, UTF8PROC_CATEGORY_SO},
                               {0x2FFC, 0x2FFF, UTF8PROC_CATEGORY_SO},   {0x31E4, 0x31E5, UTF8PROC_CATEGORY_SO},
                               {0x31EF, 0x31EF, UTF8PROC_CATEGORY_SO},   {0xA7CB, 0xA7CC, UTF8PROC_CATEGORY_LU},
                               {0xA7CD, 0xA7CD, UTF8PROC_CATEGORY_LL},   {0xA7DA, 0xA7DA, UTF8PROC_CATEGORY_LU},
                               {0xA7DB, 0xA7DB, UTF8PROC_CATEGORY_LL},   {0xA7DC, 0xA7DC, UTF8PROC_CATEGORY_LU},
                               {0x105C0, 0x105F3, UTF8PROC_CATEGORY_LO}, {0x10D40, 0x10D49, UTF8PROC_CATEGORY_ND},
                               {0x10D4A, 0x10D4D, UTF8PROC_CATEGORY_LO}, {0x10D4E, 0x10D4E, UTF8PROC_CATEGORY_LM},
                               {0x10D4F, 0x10D4F, UTF8PROC_CATEGORY_LO}, {0x10D50, 0x10D65, UTF8PROC_CATEGORY_LU},
                               {0x10D69, 0x10D6D, UTF8PROC_CATEGORY_MN}, {0x10D6E, 0x10D6E, UTF8PROC_CATEGORY_PD},
                               {0x10D6F, 0x10D6F, UTF8PROC_CATEGORY_LM}, {0x10D70, 0x10D85, UTF8PROC_CATEGORY_LL},
                               {0x10D8E, 0x10D8F, UTF8PROC_CATEGORY_SM}, {0x10EC2, 0x10EC4, UTF8PROC_CATEGORY_LO},
                               {0x10EFC, 0x10EFF, UTF8PROC_CATEGORY_MN}, {0x1123F, 0x11240, UTF8PROC_CATEGORY_LO},
                               {0x11241, 0x11241, UTF8PROC_CATEGORY_MN}, {0x11380, 0x11389, UTF8PROC_CATEGORY_LO},
                               {0x1138B, 0x1138B, UTF8PROC_CATEGORY_LO}, {0x1138E, 0x1138E, UTF8PROC_CATEGORY_LO},
                               {0x11390, 0x113B5, UTF8PROC_CATEGORY_LO}, {0x113B7, 0x113B7, UTF8PROC_CATEGORY_LO},
                               {0x113B8, 0x113BA, UTF8PROC_CATEGORY_MC}, {0x113BB, 0x113C0, UTF8PROC_CATEGORY_MN},
                               {0x113C2, 0x113C2, UTF8PROC_CATEGORY_MC}, {0x113C5, 0x113C5, UTF8PROC_CATEGORY_MC},
                               {0x113C7, 0x113CA, UTF8PROC_CATEGORY_MC}, {0x113CC, 0x113CD, UTF8PROC_CATEGORY_MC},
                               {0x113CE, 0x113CE, UTF8PROC_CATEGORY_MN}, {0x113CF, 0x113CF, UTF8PROC_CATEGORY_MC},
                               {0x113D0, 0x113D0, UTF8PROC_CATEGORY_MN}, {0x113D1, 0x113D1, UTF8PROC_CATEGORY_LO},
                               {0x113D2, 0x113D2, UTF8PROC_CATEGORY_MN}, {0x113D3, 0x113D3, UTF8PROC_CATEGORY_LO},
                               {0x113D4, 0x113D5, UTF8PROC_CATEGORY_PO}, {0x113D7, 0x113D8, UTF8PROC_CATEGORY_PO},
                               {0x113E1, 0x113E2, UTF8PROC_CATEGORY_MN}, {0x116D0, 0x116E3, UTF8PROC_CATEGORY_ND},
                               {0x11B00, 0x11B09, UTF8PROC_CATEGORY_PO}, {0x11BC0, 0x11BE0, UTF8PROC_CATEGORY_LO},
                               {0x11BE1, 0x11BE1, UTF8PROC_CATEGORY_PO}, {0x11BF0, 0x11BF9, UTF8PROC_CATEGORY_ND},
                               {0x11F00, 0x11F01, UTF8PROC_CATEGORY_MN}, {0x11F02, 0x11F02, UTF8PROC_CATEGORY_LO},
                               {0x11F03, 0x11F03, UTF8PROC_CATEGORY_MC}, {0x11F04, 0x11F10, UTF8PROC_CATEGORY_LO},
                               {0x11F12, 0x11F33, UTF8PROC_CATEGORY_LO}, {0x11F34, 0x11F35, UTF8PROC_CATEGORY_MC},
                               {0x11F36, 0x11F3A, UTF8PROC_CATEGORY_MN}, {0x11F3E, 0x11F3F, UTF8PROC_CATEGORY_MC},
                               {0x11F40, 0x11F40, UTF8PROC_CATEGORY_MN}, {0x11F41, 0x11F41, UTF8PROC_CATEGORY_MC},
                               {0x11F42, 0x11F42, UTF8PROC_CATEGORY_MN}, {0x11F43, 0x11F4F, UTF8PROC_CATEGORY_PO},
                               {0x11F50, 0x11F59, UTF8PROC_CATEGORY_ND}, {0x11F5A, 0x11F5A, UTF8PROC_CATEGORY_MN},
                               {0x1342F, 0x1342F, UTF8PROC_CATEGORY_LO}, {0x13439, 0x1343F, UTF8PROC_CATEGORY_CF},
                               {0x13440, 0x13440, UTF8PROC_CATEGORY_MN}, {0x13441, 0x13446, UTF8PROC_CATEGORY_LO},
                               {0x13447, 0x13455, UTF8PROC_CATEGORY_MN}, {0x13460, 0x143FA, UTF8PROC_CATEGORY_LO},
                               {0x16100, 0x1611D, UTF8PROC_CATEGORY_LO}, {0x1611E, 0x16129, UTF8PROC_CATEGORY_MN},
                               {0x1612A, 0x1612C, UTF8PROC_CATEGORY_MC}, {0x1612D, 0x1612F, UTF8PROC_CATEGORY_MN},
                               {0x16130, 0x16139, UTF8PROC_CATEGORY_ND}, {0x16D40, 0x16D42, UTF8PROC_CATEGORY_LM},
                               {0x16D43, 0x16D6A, UTF8PROC_CATEGORY_LO}, {0x16D6B, 0x16D6C, UTF8PROC_CATEGORY_LM},
                               {0x16D6D, 0x16D6F, UTF8PROC_CATEGORY_PO}, {0x16D70, 0x16D79, UTF8PROC_CATEGORY_ND},
                               {0x18CFF, 0x18CFF, UTF8PROC_CATEGORY_LO}, {0x1B132, 0x1B132, UTF8PROC_CATEGORY_LO},
                               {0x1B155, 0x1B155, UTF8PROC_CATEGORY_LO}, {0x1CC00, 0x1CCEF, UTF8PROC_CATEGORY_SO},
                               {0x1CCF0, 0x1CCF9, UTF8PROC_CATEGORY_ND}, {0x1CD00, 0x1CEB3, UTF8PROC_CATEGORY_SO},
                               {0x1D2C0, 0x1D2D3, UTF8PROC_CATEGORY_NO}, {0x1DF25, 0x1DF2A, UTF8PROC_CATEGORY_LL},
                               {0x1E030, 0x1E06D, UTF8PROC_CATEGORY_LM}, {0x1E08F, 0x1E08F, UTF8PROC_CATEGORY_MN},
                               {0x1E4D0, 0x1E4EA, UTF8PROC_CATEGORY_LO}, {0x1E4EB, 0x1E4EB, UTF8PROC_CATEGORY_LM},
                               {0x1E4EC, 0x1E4EF, UTF8PROC_CATEGORY_MN}, {0x1E4F0, 0x1E4F9, UTF8PROC_CATEGORY_ND},
                               {0x1E5D0, 0x1E5ED, UTF8PROC_CATEGORY_LO}, {0x1E5EE, 0x1E5EF, UTF8PROC_CATEGORY_MN},
                               {0x1E5F0, 0x1E5F0, UTF8PROC_CATEGORY_LO}, {0x1E5F1, 0x1E5FA, UTF8PROC_CATEGORY_ND},
                               {0x1E5FF, 0x1E5FF, UTF8PROC_CATEGORY_PO}, {0x1F6DC, 0x1F6DC, UTF8PROC_CATEGORY_SO},
                               {0x1F774, 0x1F776, UTF8PROC_CATEGORY_SO}, {0x1F77B, 0x1F77F, UTF8PROC_CATEGORY_SO},
                               {0x1F7D9, 0x1F7D9, UTF8PROC_CATEGORY_SO}, {0x1F8B2, 0x1F8BB, UTF8PROC_CATEGORY_SO},
                               {0x1F8C0, 0x1F8C1, UTF8PROC_CATEGORY_SO}, {0x1FA75, 0x1FA77, UTF8PROC_CATEGORY_SO},
                               {0x1FA87, 0x1FA89, UTF8PROC_CATEGORY_SO}, {0x1FA8F, 0x1FA8F, UTF8PROC_CATEGORY_SO},
                               {0x1FAAD, 0x1FAAF, UTF8PROC_CATEGORY_SO}, {0x1FABB, 0x1FABF, UTF8PROC_CATEGORY_SO},
                               {0x1FAC6, 0x1FAC6, UTF8PROC_CATEGORY_SO}, {0x1FACE, 0x1FACF, UTF8PROC_CATEGORY_SO},
                               {0x1FADA, 0x1FADC, UTF8PROC_CATEGORY_SO}, {0x1FADF, 0x1FADF, UTF8PROC_CATEGORY_SO},
                               {0x1FAE8, 0x1FAE9, UTF8PROC_CATEGORY_SO}, {0x1FAF7, 0x1FAF8, UTF8PROC_CATEGORY_SO},
                               {0x1FBCB, 0x1FBEF, UTF8PROC_CATEGORY_SO}, {0x2B739, 0x2B739, UTF8PROC_CATEGORY_LO},
                               {0x2EBF0, 0x2EE5D, UTF8PROC_CATEGORY_LO}, {0x31350, 0x323AF, UTF8PROC_CATEGORY_LO}});

/// Returns the general category of a newer character; `UTF8PROC_CATEGORY_CN` for all others.
inline utf8proc_category_t newer_category(char32_t value) {
  const auto* const found = std::partition_point(newer_characters.begin(), newer_characters.end(),
                                                 [&](const NewerRange& range) { return range.last < value; });
  return found != newer_characters.end() && found->first <= value ? found->category : UTF8PROC_CATEGORY_CN;
}

/// Returns the two letters of a general category, such as "Lu".
inline std::string_view category_name(utf8proc_category_t category) {
  constexpr std::string_view names = "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCo";
  return names.substr(2 * static_cast<std::size_t>(category), 2);
}

}  // namespace detail
}  // namespace veneer
