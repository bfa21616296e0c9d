#include "pattern.h"

#include "config.h"

namespace lowpeak::tokenizer {

Pattern::Pattern(const trainer::JsonReader& json) {
  if (json.has("String")) {
    string_ = json.at("String").text();
    if (string_.empty()) throw unsupported("a pattern that is empty");
  } else if (json.has("Regex")) {
    regex_.emplace(json.at("Regex").text());
  } else {
    throw unsupported("a pattern that is neither a string nor a regular expression");
  }
}

std::vector<Match> Pattern::matches(std::string_view text) const {
  std::vector<Match> made;
  if (regex_) {
    std::optional<Match> match = regex_->find(text, 0);
    for (; match; match = regex_->find(text, match->end)) made.push_back(*match);
    return made;
  }
  for (std::size_t place = text.find(string_); place != std::string_view::npos;) {
    made.push_back({place, place + string_.size()});
    place = text.find(string_, place + string_.size());
  }
  return made;
}

}  // namespace lowpeak::tokenizer
