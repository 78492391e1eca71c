// SPDX-License-Identifier: Apache-2.0
#include "data_report.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <span>
#include <string_view>

namespace veneer::program {

namespace {

/// 64-bit FNV-1a over fields, each preceded by its length, so that different lists of fields have different inputs.
class Hash {
 public:
  void add(std::string_view field) {
    add_number(field.size());
    for (const char c : field) add_byte(static_cast<unsigned char>(c));
  }
  void add(std::span<const std::int32_t> ids) {
    add_number(ids.size());
    for (const std::int32_t id : ids) add_number(static_cast<std::uint32_t>(id));
  }
  std::uint64_t value() const { return value_; }

 private:
  void add_byte(std::uint64_t byte) { value_ = (value_ ^ byte) * 0x100000001B3u; }
  void add_number(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add_byte((number >> shift) & 255u);
  }

  std::uint64_t value_ = 0xCBF29CE484222325u;
};

constexpr std::size_t listed = 5;  // number of positions listed per kind

std::string line(const char* name, const std::string& value) {
  char text[64];
  std::snprintf(text, sizeof text, "  %-12s  ", name);
  return text + value + "\n";
}

std::string count_of(const DatasetNotes& notes) {
  std::string text = std::to_string(notes.count());
  for (std::size_t i = 0; i < std::min(listed, notes.first().size()); ++i)
    text += (i == 0 ? "  (line " : ", ") + std::to_string(notes.first()[i].line);
  if (notes.count() == 0) return text;
  return text + (notes.count() > listed ? ", ...)" : ")");
}

Json places(const DatasetNotes& notes) {
  Json list = Json::array();
  for (const DatasetNote& note : notes.first())
    list.push_back({{"line", note.line}, {"reason", std::string(to_string(note.reason))}});
  return {{"count", notes.count()}, {"first", list}};
}

std::string per_cent(std::size_t part, std::size_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, " (%.1f %%)",
                whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

}  // namespace

std::size_t Lengths::total() const {
  std::size_t sum = 0;
  for (const auto& [length, count] : counts_) sum += count;
  return sum;
}

std::size_t Lengths::quantile(double share) const {
  const auto wanted = static_cast<std::size_t>(std::ceil(share * static_cast<double>(total())));
  std::size_t sum = 0;
  for (const auto& [length, count] : counts_) {
    sum += count;
    if (sum >= wanted) return length;
  }
  return 0;
}

std::vector<std::pair<std::size_t, std::size_t>> Lengths::bars() const {
  std::vector<std::pair<std::size_t, std::size_t>> all;
  if (counts_.empty()) return all;
  const auto first_of = [](std::size_t length) { return length < 2 ? length : std::bit_floor(length); };
  const std::size_t last = first_of(counts_.rbegin()->first);
  for (std::size_t first = first_of(counts_.begin()->first); first <= last; first = first == 0 ? 1 : 2 * first)
    all.emplace_back(first, 0);
  for (const auto& [length, count] : counts_) {
    for (auto& [first, sum] : all) {
      if (first == first_of(length)) sum += count;
    }
  }
  return all;
}

std::string Lengths::chart(const std::string& unit) const {
  constexpr std::size_t width = 40;
  std::size_t most = 1;
  for (const auto& bar : bars()) most = std::max(most, bar.second);
  std::string text;
  for (const auto& [first, count] : bars()) {
    const std::size_t end = first == 0 ? 1 : 2 * first;
    const std::string range =
        end - first == 1 ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(end - 1);
    char head[80];
    std::snprintf(head, sizeof head, "    %15s  %9zu  ", range.c_str(), count);
    text += head + std::string(ceil_div(count * width, most), '#');
    while (text.back() == ' ') text.pop_back();
    text += "\n";
  }
  return line("lengths", "in " + unit + ": shortest " + std::to_string(counts_.begin()->first) + ", median " +
                             std::to_string(quantile(0.5)) + ", 90 % up to " + std::to_string(quantile(0.9)) +
                             ", longest " + std::to_string(counts_.rbegin()->first)) +
         text;
}

Json Lengths::json() const {
  Json list = Json::array();
  for (const auto& [first, count] : bars()) list.push_back({{"from", first}, {"count", count}});
  Json json = {{"histogram", list}};
  if (counts_.empty()) return json;
  json["shortest"] = counts_.begin()->first;
  json["median"] = quantile(0.5);
  json["p90"] = quantile(0.9);
  json["longest"] = counts_.rbegin()->first;
  return json;
}

void Duplicates::add(const Record& record) {
  Hash hash;
  hash.add(record.prompt);
  hash.add(record.text);
  hash.add(record.ids);
  hash.add(record.labels);
  for (const Message& message : record.messages) {
    hash.add(message.role);
    hash.add(message.content);
    if (!message.whole.is_null()) hash.add(message.whole.dump());
  }
  for (const Json* variable : {&record.variables.tools, &record.variables.documents, &record.variables.arguments})
    hash.add(variable->dump());
  seen_.emplace_back(hash.value(), record.line);
}

void Duplicates::finish() {
  std::sort(seen_.begin(), seen_.end());
  for (std::size_t i = 1, first = 0; i < seen_.size(); ++i) {
    if (seen_[i].first != seen_[first].first) {
      first = i;
      continue;
    }
    ++count_;
    first_.emplace_back(seen_[i].second, seen_[first].second);
  }
  std::sort(first_.begin(), first_.end());
  first_.resize(std::min(first_.size(), DatasetNotes::kept));
  seen_ = {};
}

std::string DataReport::text() const {
  std::string out = file + "\n";
  if (format) out += line("format", std::string(to_string(*format)));
  out += line("records", std::to_string(records) + (error.empty() ? "" : ", up to what is wrong"));
  if (tokenised) {
    out += line("examples", std::to_string(made.examples));
    out += line("tokens", std::to_string(made.tokens));
    out += line("learned", std::to_string(made.learned) + per_cent(made.learned, made.tokens));
  }
  if (!lengths.empty()) out += lengths.chart(tokenised ? "tokens" : "bytes of text");
  if (seq > 0 && tokenised) {
    out += line("over --seq",
                std::to_string(over) +
                    (over == 0 ? "" : ": cut, " + std::to_string(lost) + " tokens are lost (none with --packing)"));
  }
  out += line("duplicates", std::to_string(duplicates.count()));
  for (std::size_t i = 0; i < std::min(listed, duplicates.first().size()); ++i) {
    out += "      line " + std::to_string(duplicates.first()[i].first) + " is line " +
           std::to_string(duplicates.first()[i].second) + "\n";
  }
  if (made.apart > 0) {
    out += line("apart", std::to_string(made.apart) +
                             ": a later turn changes how an earlier one is rendered; each reply is a separate example");
  }
  out += line("empty target", count_of(warnings));
  out += line("dropped", count_of(empty) + (empty.count() > 0 ? ": no text" : ""));
  if (made.unlearned.count() > 0) out += line("", count_of(made.unlearned) + ": nothing to learn");
  if (!error.empty()) out += line("error", error);
  return out;
}

Json DataReport::json() const {
  Json json = {{"file", file}, {"ok", error.empty()}};
  if (!error.empty()) json["error"] = error_place;
  json["format"] = format ? Json(std::string(to_string(*format))) : Json();
  json["records"] = records;
  if (tokenised) {
    json["examples"] = made.examples;
    json["tokens"] = made.tokens;
    json["learned"] = made.learned;
    json["apart"] = made.apart;
  }
  if (seq > 0 && tokenised) {
    json["seq"] = seq;
    json["truncated"] = over;
    json["tokens_lost"] = lost;
  }
  json["length_unit"] = tokenised ? "tokens" : "bytes";
  json["lengths"] = lengths.json();
  Json pairs = Json::array();
  for (const auto& [again, before] : duplicates.first()) pairs.push_back({{"line", again}, {"of", before}});
  json["duplicates"] = {{"count", duplicates.count()}, {"first", pairs}};
  json["empty_targets"] = places(warnings);
  json["dropped"] = {{"empty_text", places(empty)}, {"no_trained_token", places(made.unlearned)}};
  return json;
}

}  // namespace veneer::program
