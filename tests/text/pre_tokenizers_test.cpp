// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/pre_tokenizers.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace pre_tokenizers_test {

namespace {

using namespace veneer;
using Steps = std::vector<PreTokenizer>;
using Words = std::vector<std::string>;

/// The words; with `places` also the parts of the text that they come from.
Words cut(const Steps& steps, std::string_view text, Words* places = nullptr) {
  detail::MatchScratch scratch;
  std::vector<std::unique_ptr<Normalized>> buffers;
  const PieceContext context{text, true, scratch, buffers};
  Words words;
  pre_tokenize(steps, TextPiece{text}, context, [&](const TextPiece& word) {
    words.emplace_back(word.text);
    const ByteRange place = context.place(word, 0, word.text.size());
    if (places != nullptr) places->emplace_back(text.substr(place.begin, place.end - place.begin));
  });
  return words;
}

}  // namespace

TEST_CASE("a delimiter goes where the behavior puts it", "[text]") {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return cut({pre_tokenizers::Split{std::string("-"), behavior, invert}}, "a-b--c-");
  };
  CHECK(split(SplitBehavior::removed) == Words{"a", "b", "c"});
  CHECK(split(SplitBehavior::removed, true) == Words{"-", "-", "-", "-"});
  CHECK(split(SplitBehavior::isolated) == Words{"a", "-", "b", "-", "-", "c", "-"});
  CHECK(split(SplitBehavior::merged_with_previous) == Words{"a-", "b-", "-", "c-"});
  CHECK(split(SplitBehavior::merged_with_next) == Words{"a", "-b", "-", "-c", "-"});
  CHECK(split(SplitBehavior::contiguous) == Words{"a", "-", "b", "--", "c", "-"});
}

TEST_CASE("each pre-tokenizer cuts as it is named", "[text]") {
  CHECK(cut({}, "as it is") == Words{"as it is"});
  CHECK(cut({pre_tokenizers::Digits{SplitBehavior::isolated}}, "a12b") == Words{"a", "1", "2", "b"});
  CHECK(cut({pre_tokenizers::Digits{SplitBehavior::contiguous}}, "a12b") == Words{"a", "12", "b"});
  CHECK(cut({pre_tokenizers::Punctuation{}}, "a,$_b") == Words{"a", ",", "$", "_", "b"});
  CHECK(cut({pre_tokenizers::Whitespace{}}, " it's  \xC3\xA9.. ") == Words{"it", "'", "s", "\xC3\xA9", ".."});
  CHECK(cut({pre_tokenizers::WhitespaceSplit{SplitBehavior::removed}}, " it's \n x") == Words{"it's", "x"});
  CHECK(cut({pre_tokenizers::Metaspace{}}, "a  b") == Words{"▁a", "▁", "▁b"});
  CHECK(cut({pre_tokenizers::Metaspace{"_", PiecePrefix::never, false}}, "a  b") == Words{"a__b"});
}

TEST_CASE("bytes are written as characters, and know where they come from", "[text]") {
  pre_tokenizers::ByteLevel bytes;
  bytes.prefix_space = true;
  Words places;
  const Words words = cut({pre_tokenizers::WhitespaceSplit{SplitBehavior::removed}, bytes}, "\xC3\xA9 x", &places);
  CHECK(words == Words{"\xC4\xA0\xC3\x83\xC2\xA9", "\xC4\xA0x"});
  CHECK(places == Words{"\xC3\xA9", "x"});
}

TEST_CASE("a mark at the first place alone", "[text]") {
  const pre_tokenizers::Metaspace first{"▁", PiecePrefix::first_unless_there, true};
  CHECK(cut({pre_tokenizers::WhitespaceSplit{SplitBehavior::removed}, first}, "a b") == Words{"▁a", "b"});
  CHECK(cut({pre_tokenizers::WhitespaceSplit{SplitBehavior::removed}, first}, " a b") == Words{"a", "b"});
}

}  // namespace pre_tokenizers_test
