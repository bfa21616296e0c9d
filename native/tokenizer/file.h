// tokenizer.json, read as it streams by: vocabulary and merges into their compact forms, the rest as JSON.
#pragma once

#include <string>

#include "tokenizer/vocabulary.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

struct TokenizerFile {
  Vocabulary vocabulary;
  Merges merges;
  trainer::Json rest;   // without what is above
  std::string problem;  // of a vocabulary or merges that are not as a BPE's; else empty
};

// Throws ArtifactError for a file that cannot be read or is not well formed.
TokenizerFile read_tokenizer_file(const std::string& path);

}  // namespace lowpeak::tokenizer
