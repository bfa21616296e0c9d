#include "tokenizer/pattern.h"

#include "tokenizer/config.h"

namespace lowpeak::tokenizer {

Pattern::Pattern(const trainer::JsonReader& json) {
  if (json.has("String")) {
    string_ = json.at("String").text();
    if (string_.empty() || string_.size() > kLongestText) {
      throw unsupported("a pattern of " + std::to_string(string_.size()) + " bytes");
    }
  } else if (json.has("Regex")) {
    regex_.emplace(json.at("Regex").text());
  } else {
    throw unsupported("a pattern that is neither a string nor a regular expression");
  }
}

std::vector<Match> Pattern::matches(std::string_view text) const {
  if (regex_) return regex_->matches(text);
  std::vector<Match> made;
  for (std::size_t place = text.find(string_); place != std::string_view::npos;) {
    made.push_back({place, place + string_.size()});
    place = text.find(string_, place + string_.size());
  }
  return made;
}

}  // namespace lowpeak::tokenizer
