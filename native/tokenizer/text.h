// A part of a text as it is being changed, each byte with the characters of the text that it stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace lowpeak::tokenizer {

// Bytes [start, end) of the whole text.
struct Place {
  std::uint32_t start, end;
};

class Text {
 public:
  // Unchanged: the part lies at `origin` of the whole.
  Text(std::string_view part, std::size_t origin) : characters_(part), origin_(origin), most_(most_of(part.size())) {}

  // A part of another, which may have been changed. Changes throw DataError when the text becomes far longer than it
  // was.
  Text(const Text& other, std::size_t start, std::size_t end);

  std::string_view characters() const { return characters_; }
  bool empty() const { return characters_.empty(); }

  // What the characters [start, end) stand for; start < end.
  Place place_of(std::size_t start, std::size_t end) const;

  void compose();
  void replace(const std::vector<Match>& matches, const std::string& content);
  void prepend(const std::string& content);  // it stands for what the first character stands for

 private:
  Place place_at(std::size_t byte) const;
  static std::size_t most_of(std::size_t bytes) { return 16 * bytes + 4096; }
  void require_room(std::size_t bytes) const;
  void track();  // from now on, every byte has a place of its own

  std::string characters_;
  std::size_t origin_, most_;  // the most bytes that it may get
  std::vector<Place> places_;  // of each byte; empty while nothing is changed
};

}  // namespace lowpeak::tokenizer
