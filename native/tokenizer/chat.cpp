#include "tokenizer/chat.h"

#include <algorithm>
#include <string_view>

#include "tokenizer/unicode.h"
#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {
namespace {

using trainer::data_error;
using trainer::Json;
using trainer::JsonReader;

constexpr char kFile[] = "chat.json";
constexpr std::size_t kMostWatched = 1000;

template <typename Drops>
std::string_view without_leading(std::string_view text, const Drops& drops) {
  while (!text.empty() && drops(character_at(text.data()))) text.remove_prefix(length_at(text.data()));
  return text;
}

template <typename Drops>
std::string_view without_trailing(std::string_view text, const Drops& drops) {
  while (!text.empty()) {
    const std::size_t last = before(text, text.size());
    if (!drops(character_at(text.data() + last))) break;
    text.remove_suffix(text.size() - last);
  }
  return text;
}

std::vector<std::string> texts(const JsonReader& list) {
  std::vector<std::string> made;
  for (const JsonReader& each : list.items()) made.push_back(each.text());
  return made;
}

std::optional<std::size_t> place(const JsonReader& glue, const char* name) {
  const auto found = glue.at(name).optional_integer();
  return found ? std::optional<std::size_t>(static_cast<std::size_t>(*found)) : std::nullopt;
}

// Every message is looked through for each of them.
void require_few(const std::vector<std::string>& watched, const char* name) {
  if (watched.size() <= kMostWatched) return;
  throw trainer::artifact_error(std::string(kFile) + ": " + name + " has " + std::to_string(watched.size()) +
                                " texts, more than " + std::to_string(kMostWatched));
}

void require_room(std::size_t bytes) {
  if (bytes > trainer::kMostText) {
    throw data_error("the chat template makes more than " + std::to_string(trainer::kMostText) +
                     " bytes of the chat: split it");
  }
}

}  // namespace

Chat Chat::from_artifact(const std::string& folder, const std::string& advice) {
  std::string text;
  try {
    text = trainer::read_text(folder + "/" + kFile);
  } catch (const trainer::SystemError& error) {
    throw trainer::artifact_error("the artifact " + folder + " has no " + kFile + " that can be read (" + error.what() +
                                  "): compile it again, from a model folder with tokenizer files");
  }
  Json raw;
  try {
    raw = trainer::parse_json(text);
  } catch (const Json::exception& error) {
    throw trainer::artifact_error(std::string(kFile) + " is not JSON: " + error.what());
  }
  const JsonReader file(raw, "ArtifactError", kFile, "chat");
  const auto table = [&](const char* name) {
    const JsonReader json = file.at(name);
    Table made;
    made.from_start = static_cast<std::size_t>(json.at("from_start").integer());
    made.from_end = static_cast<std::size_t>(json.at("from_end").integer());
    for (const auto& [key, glue] : json.at("glue").fields()) {
      Glue read{glue.at("text").text(),
                place(glue, "begins"),
                place(glue, "ends"),
                glue.at("ended").boolean(),
                trim_named(glue.at("trims_before").text()),
                trim_named(glue.at("trims_behind").text())};
      if (read.begins.value_or(0) > read.text.size() || read.ends.value_or(0) > read.text.size()) {
        throw trainer::artifact_error(std::string(kFile) + ": " + key + " has a place outside of its text");
      }
      made.glue.emplace(key, std::move(read));
    }
    return made;
  };
  if (const auto problem = file.at("tokenizer_problem").optional_text()) {
    throw data_error("texts cannot be encoded on the phone, " + *problem + advice);
  }
  Chat made;
  made.advice_ = advice;
  made.problem_ = file.at("problem").optional_text();
  made.bos = file.at("bos").optional_integer();
  made.eos = file.at("eos").optional_integer();
  made.pad = file.at("pad").optional_integer();
  made.stops = file.at("stops").integers();
  made.trained_ = table("trained");
  made.asked_ = table("asked");
  made.watched_ = texts(file.at("watched"));
  made.begun_ = texts(file.at("begun"));
  require_few(made.watched_, "watched");
  require_few(made.begun_, "begun");
  return made;
}

Chat::Trim Chat::trim_named(const std::string& name) {
  if (name == "nothing") return Trim::nothing;
  if (name == "newlines") return Trim::newlines;
  if (name == "blanks") return Trim::blanks;
  throw trainer::artifact_error(std::string(kFile) + ": words lose " + name + ", which is not known");
}

std::string Chat::words_of(const Message& message, const Glue& before, const Glue& behind) {
  const auto drops = [](Trim trim) {
    return [trim](char32_t c) { return trim == Trim::blanks ? is_blank(c) : trim == Trim::newlines && c == '\n'; };
  };
  return std::string(without_trailing(without_leading(message.content, drops(before.behind)), drops(behind.before)));
}

std::vector<const Chat::Glue*> Chat::glue_of(const Table& table, const std::vector<Message>& messages) const {
  if (problem_) throw data_error("chats cannot be encoded on the phone, " + *problem_ + advice_);
  const std::size_t count = messages.size();
  std::string before;
  std::vector<const Glue*> made;
  for (std::size_t i = 0; i <= count; ++i) {
    const std::string next = i < count ? messages[i].role : "";
    const auto found = table.glue.find(before + ">" + next + ":" + std::to_string(std::min(i, table.from_start)) + ":" +
                                       std::to_string(std::min(count - i, table.from_end)));
    if (found == table.glue.end()) {
      throw data_error(
          (i == count ? "the chat ends with the role \"" + before + "\""
           : i == 0   ? "the chat begins with the role \"" + next + "\""
                    : "message " + std::to_string(i + 1) + " has the role \"" + next + "\" behind \"" + before + "\"") +
          ", which the chat template was not tried with when the artifact was compiled" + advice_);
    }
    made.push_back(&found->second);
    before = next;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& content = messages[i].content;
    const std::string number = std::to_string(i + 1);
    if (without_leading(content, is_blank).empty()) {
      throw data_error("message " + number + " is empty: leave it out" + advice_);
    }
    for (const std::string& each : watched_) {
      if (content.find(each) != std::string::npos) {
        throw data_error("message " + number + " has " + trainer::python_repr(each) +
                         ", which the chat template looks for" + advice_);
      }
    }
    if (messages[i].role != "assistant") continue;
    for (const std::string& each : begun_) {
      if (without_leading(content, is_blank).compare(0, each.size(), each) == 0) {
        throw data_error("message " + number + " begins with " + trainer::python_repr(each) +
                         ", which the chat template may begin itself" + advice_);
      }
    }
  }
  return made;
}

Rendered Chat::rendered(const std::vector<Message>& messages) const {
  const std::vector<const Glue*> glue = glue_of(trained_, messages);
  Rendered made;
  for (std::size_t i = 0; i < glue.size(); ++i) {
    const std::size_t start = made.text.size();
    if (!made.turns.empty() && made.turns.back().message + 1 == i && messages[i - 1].role == "assistant") {
      made.turns.back().end = start + glue[i]->ends.value_or(0);
      made.turns.back().ended = glue[i]->ended;
    }
    made.text += glue[i]->text;
    require_room(made.text.size());
    if (i == messages.size()) break;
    if (messages[i].role == "assistant") made.turns.push_back({i, start + glue[i]->begins.value_or(0), 0, false});
    made.text += words_of(messages[i], *glue[i], *glue[i + 1]);
  }
  return made;
}

std::string Chat::prompt(const std::vector<Message>& messages) const {
  if (messages.empty()) throw data_error("there is no message to answer");
  if (messages.back().role == "assistant") {
    throw data_error("a prompt for an answer ends with a message that is not the assistant's");
  }
  const std::vector<const Glue*> glue = glue_of(asked_, messages);
  std::string text = glue[0]->text;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    text += words_of(messages[i], *glue[i], *glue[i + 1]) + glue[i + 1]->text;
    require_room(text.size());
  }
  return text;
}

Encoding Chat::tokens_of(const Tokenizer& tokenizer, const std::string& text) const {
  Encoding made = tokenizer.encoding(text, false);
  if (bos && made.tokens.size() > 1 && made.tokens[0].id == *bos && made.tokens[1].id == *bos) {
    made.tokens.erase(made.tokens.begin());
  }
  return made;
}

std::vector<std::int64_t> Chat::ids_of(const Tokenizer& tokenizer, const std::string& prompt) const {
  std::vector<std::int64_t> ids;
  for (const Token& token : tokens_of(tokenizer, prompt).tokens) ids.push_back(token.id);
  return ids;
}

}  // namespace lowpeak::tokenizer
