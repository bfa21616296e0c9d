#include "tokenizer/config.h"

#include <algorithm>
#include <string_view>

namespace lowpeak::tokenizer {
namespace {

constexpr std::size_t kMostMembers = 64;

}  // namespace

void require_known(const trainer::JsonReader& json, const std::string& what, std::initializer_list<const char*> known) {
  for (const auto& [name, value] : json.fields()) {
    const bool found = std::find(known.begin(), known.end(), std::string_view(name)) != known.end();
    if (!found && !value.is_null()) throw unsupported("\"" + name + "\" of " + what);
  }
}

std::string some_text(const trainer::JsonReader& json, const char* field, const std::string& type) {
  std::string made = json.at(field).text();
  if (made.empty()) throw unsupported(std::string("an empty \"") + field + "\" of " + type);
  if (made.size() > kLongestText) {
    throw unsupported(std::string("a \"") + field + "\" of " + type + " with " + std::to_string(made.size()) +
                      " bytes");
  }
  return made;
}

std::vector<trainer::JsonReader> members_of(const trainer::JsonReader& json, const char* list) {
  if (json.is_null()) return {};
  if (json.at("type").text() != "Sequence") return {json};
  require_known(json, "a Sequence", {"type", list});
  std::vector<trainer::JsonReader> made;
  for (const trainer::JsonReader& each : json.at(list).items()) {
    for (trainer::JsonReader& member : members_of(each, list)) made.push_back(std::move(member));
    if (made.size() > kMostMembers)
      throw unsupported("a Sequence of more than " + std::to_string(kMostMembers) + " parts");
  }
  return made;
}

}  // namespace lowpeak::tokenizer
