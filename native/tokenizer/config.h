// How the parts of tokenizer.json are read: nothing that changes results is passed over.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "trainer/error.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

inline trainer::Error unsupported(const std::string& what) {
  return trainer::data_error("tokenizer.json has " + what + ", which the phone's tokenizer does not know");
}

// Throws for a field that is not among the known: it could change results.
void require_known(const trainer::JsonReader& json, const std::string& what, std::initializer_list<const char*> known);

// Of what is looked for in texts, or put into them; bytes.
constexpr std::size_t kLongestText = 1024;

// A text that may be neither empty nor longer than that. Throws for one that is.
std::string some_text(const trainer::JsonReader& json, const char* field, const std::string& type);

// The members of a Sequence under `list`, or the one that it is; none of null. Throws for more than a few dozen.
std::vector<trainer::JsonReader> members_of(const trainer::JsonReader& json, const char* list);

}  // namespace lowpeak::tokenizer
