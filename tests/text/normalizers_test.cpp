// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/normalizers.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace normalizers_test {

namespace {

using namespace veneer;
using Steps = std::vector<Normalizer>;

Normalized apply(const Steps& steps, std::string_view text, bool origins = false) {
  detail::MatchScratch scratch;
  Normalized out, spare;
  if (!normalize(steps, text, origins, scratch, out, spare)) out = {std::string(text), {}};
  return out;
}

}  // namespace

TEST_CASE("each normalizer changes what it is named after", "[text]") {
  CHECK(apply({normalizers::UnicodeForm{NormalForm::nfd}}, "\xC3\xA9").text == "e\xCC\x81");
  CHECK(apply({normalizers::UnicodeForm{NormalForm::nfkc}}, "\xEF\xBC\xA1\xEF\xAC\x81").text ==
        "Afi");  // full width, ligature
  CHECK(apply({normalizers::UnicodeForm{NormalForm::nfkd}}, "\xEF\xB7\xBA").text.size() ==
        33);  // U+FDFA is 18 characters
  CHECK(apply({normalizers::Lowercase{}}, "A\xC3\x89\xC4\xB0").text == "a\xC3\xA9i\xCC\x87");
  CHECK(apply({normalizers::StripAccents{}}, "e\xCC\x81\xC3\xA9").text == "e\xC3\xA9");
  CHECK(apply({normalizers::Strip{true, false}},
              " \xC2\xA0"
              "a ")
            .text == "a ");
  CHECK(apply({normalizers::Strip{true, true}}, "  ").text.empty());
  CHECK(apply({normalizers::Prepend{"x"}}, "a").text == "xa");
  CHECK(apply({normalizers::Prepend{"x"}}, "").text.empty());
  CHECK(apply({normalizers::Replace{std::string("aa"), "b"}}, "aaa").text == "ba");
  CHECK(apply({normalizers::Replace{Regex("\\s+"), " "}}, "a \n\tb").text == "a b");
}

TEST_CASE("origins go through all steps", "[text]") {
  // é and two spaces
  const Normalized out = apply({normalizers::UnicodeForm{NormalForm::nfd}, normalizers::StripAccents{},
                                normalizers::Replace{std::string("  "), "__"}, normalizers::Prepend{"<"}},
                               "\xC3\xA9  x", true);
  CHECK(out.text == "<e__x");
  const std::vector<ByteRange> origin{{0, 2}, {0, 2}, {3, 4}, {3, 4}, {4, 5}};
  CHECK(out.origin == origin);
}

}  // namespace normalizers_test
