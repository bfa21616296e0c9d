#include "tokenizer/file.h"

#include <unistd.h>

#include <fstream>

#include "trainer/error.h"
#include "trainer/files.h"

namespace lowpeak::tokenizer {
namespace {

using trainer::Json;

// Ids are from 0 on, each of a token that takes some bytes of the file; a few may be left out.
constexpr std::size_t kIds = 1 << 16, kBytesAnId = 12;

std::size_t bytes_of(const std::string& path) {
  try {
    const trainer::Descriptor file = trainer::Descriptor::regular(path);
    const off_t end = ::lseek(file.get(), 0, SEEK_END);
    if (end < 0) throw trainer::SystemError();
    return static_cast<std::size_t>(end);
  } catch (const trainer::SystemError& error) {
    throw trainer::artifact_error(path + " cannot be read (" + error.what() +
                                  "): compile from a model folder with tokenizer files");
  }
}

// Where the values of the model lie: {"model": {"vocab": {token: id}, "merges": ["a b" or ["a", "b"]]}}.
constexpr int kTop = 1, kModel = 2, kInside = 3, kPair = 4;

std::string type_of(Json::parse_event_t event, const Json& value) {
  return event == Json::parse_event_t::object_start  ? "an object"
         : event == Json::parse_event_t::array_start ? "a list"
                                                     : std::string("a value of the type ") + value.type_name();
}

class Reader {
 public:
  explicit Reader(TokenizerFile& made) : made_(made) {}

  // Of the merges, no token is known before the whole vocabulary is.
  bool lacks_merges() const { return lacks_merges_; }
  void again() {
    limits_ = trainer::JsonLimits(trainer::Fields::unique), has_vocabulary_ = true, reads_vocabulary_ = false,
    lacks_merges_ = false;
  }

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    // Vocabulary and merges go into forms of their own, however many they are.
    const bool compact = depth > kModel && (in("vocab") || in("merges"));
    if (compact)
      trainer::JsonLimits::require_shallow(depth, event);
    else
      limits_.see(depth, event, value);
    if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (depth == kTop) top_ = key, field_.clear();
      if (depth == kModel) field_ = key;
      if (depth != kInside || !in("vocab")) return true;
      token_ = key;
      return false;
    }
    if (depth >= kModel && made_.problem.empty() && !is_expected(depth, event, value)) {
      made_.problem = "tokenizer.json: " + field_ + " should be " +
                      (in("vocab") ? "an object of tokens and their ids" : "a list of pairs of tokens") + ", it has " +
                      type_of(event, value);
    }
    // What is there instead is not kept.
    if (depth >= kModel && !made_.problem.empty() && (in("vocab") || in("merges"))) return false;
    if (in("vocab") && event == Json::parse_event_t::object_end && depth == kModel) {
      made_.vocabulary.finish();
      has_vocabulary_ = true;
      return true;
    }
    if (event == Json::parse_event_t::value) {
      if (depth == kInside && in("vocab") && value.is_number_integer()) {
        if (reads_vocabulary_) made_.vocabulary.add(token_, value.get<std::int64_t>());
        return false;
      }
      if (depth == kInside && in("merges") && value.is_string()) {
        add_spelled(value.get_ref<const std::string&>());
        return false;
      }
      if (depth == kPair && in("merges") && value.is_string()) {
        pair_.push_back(value.get<std::string>());
        return false;
      }
    }
    if (event == Json::parse_event_t::array_end && depth == kInside && in("merges")) {
      if (pair_.size() != 2) throw trainer::artifact_error("tokenizer.json: a merge is not of two tokens");
      add(pair_[0], pair_[1]);
      pair_.clear();
      return false;
    }
    return true;
  }

 private:
  bool in(const char* field) const { return top_ == "model" && field_ == field; }

  bool is_expected(int depth, Json::parse_event_t event, const Json& value) const {
    const bool vocabulary = in("vocab"), merges = in("merges");
    if (!vocabulary && !merges) return true;
    switch (event) {
      case Json::parse_event_t::object_start: return vocabulary && depth == kModel;
      case Json::parse_event_t::array_start: return merges && (depth == kModel || depth == kInside);
      case Json::parse_event_t::value:
        return vocabulary ? depth == kInside && value.is_number_integer() : depth > kModel && value.is_string();
      default: return true;
    }
  }

  void add_spelled(const std::string& merge) {
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos) {
      throw trainer::artifact_error("tokenizer.json: the merge \"" + merge + "\" is not of two tokens");
    }
    add(merge.substr(0, space), merge.substr(space + 1));
  }

  void add(const std::string& left, const std::string& right) {
    if (!has_vocabulary_) {
      lacks_merges_ = true;
      return;
    }
    const Merges::Merge merge{made_.vocabulary.find(left), made_.vocabulary.find(right),
                              made_.vocabulary.find(left + right)};
    if (merge.left == Vocabulary::kNone || merge.right == Vocabulary::kNone || merge.made == Vocabulary::kNone) {
      throw trainer::artifact_error("tokenizer.json: the merge of \"" + left + "\" and \"" + right +
                                    "\" is of tokens that the vocabulary does not have");
    }
    made_.merges.add(merge);
  }

  TokenizerFile& made_;
  trainer::JsonLimits limits_{trainer::Fields::unique};
  std::string top_, field_, token_;
  std::vector<std::string> pair_;
  bool has_vocabulary_ = false, reads_vocabulary_ = true, lacks_merges_ = false;
};

}  // namespace

TokenizerFile read_tokenizer_file(const std::string& path) {
  TokenizerFile made{Vocabulary(kIds + bytes_of(path) / kBytesAnId), {}, {}, {}};
  Reader reader(made);
  const auto parse = [&] {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw trainer::artifact_error(path + " is missing: compile from a model folder with tokenizer files");
    try {
      made.rest = Json::parse(
          file, [&](int depth, Json::parse_event_t event, Json& value) { return reader(depth, event, value); });
    } catch (const Json::exception& error) {
      throw trainer::artifact_error(path + " is not JSON: " + error.what());
    }
  };
  parse();
  if (reader.lacks_merges()) {
    reader.again();
    parse();
  }
  made.vocabulary.finish();
  made.merges.finish();
  return made;
}

}  // namespace lowpeak::tokenizer
