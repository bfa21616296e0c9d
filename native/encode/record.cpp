#include "encode/record.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>

#include "tokenizer/unicode.h"
#include "trainer/error.h"

namespace lowpeak::encode {
namespace {

using tokenizer::Message;
using trainer::data_error;
using trainer::Json;

constexpr char kOnComputer[] = ": encode this file on the computer, or leave it out";

const std::set<std::string> kMetadata = {
    "author",   "category", "chat_id",   "conversation_id", "created",    "created_at", "dataset", "date",
    "domain",   "id",       "idx",       "index",           "lang",       "language",   "license", "message_id",
    "metadata", "model",    "origin",    "prompt_id",       "session_id", "source",     "split",   "subset",
    "tags",     "task",     "timestamp", "topic",           "updated_at", "url",        "uuid",    "version"};

const std::set<std::string> kAssistantElsewhere = {"assistant", "model", "gpt", "bot", "ai", "chatbot"};
constexpr char kRoles[] = R"("system" and "developer" and "user" and "assistant" and "tool")";

bool one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* each) { return name == each; });
}

bool absent(const Json& value) { return value.is_null() || ((value.is_array() || value.is_object()) && value.empty()); }

template <typename Names>
std::string quoted(const Names& names) {
  std::string made;
  for (const std::string& name : names) made += (made.empty() ? "\"" : " and \"") + name + "\"";
  return made;
}

std::string text_of(const Json& value, const std::string& key) {
  if (!value.is_string()) throw data_error("\"" + key + "\" must be a string, not " + trainer::json_type(value));
  return value.get<std::string>();
}

std::string content_of(const Json& content, std::size_t number) {
  if (!content.is_array()) return text_of(content, "content");
  std::vector<std::string> types;
  for (const Json& part : content) {
    types.push_back(part.is_object() && part.contains("type") && part["type"].is_string()
                        ? part["type"].get<std::string>()
                        : trainer::json_type(part));
  }
  if (types != std::vector<std::string>{"text"}) {
    throw data_error("\"content\" must be a string or a list with one part of the type \"text\": message " +
                     std::to_string(number) + " has a list of " + (types.empty() ? "nothing" : quoted(types)));
  }
  for (const auto& [name, value] : content[0].items()) {
    if (name != "type" && name != "text") {
      throw data_error("the content of message " + std::to_string(number) + " has \"" + name +
                       "\", which is not supported");
    }
  }
  return text_of(content[0].contains("text") ? content[0]["text"] : Json(), "text");
}

bool switched(const std::string& name, const Json& value, const std::string& role, std::size_t number) {
  const bool known = value.is_boolean() || (value.is_number() && (value == 0 || value == 1));
  const std::string message = "message " + std::to_string(number) + " has \"" + name + "\"";
  if (!known) throw data_error(message + ": " + value.dump() + ", but only 0, 1, false and true are known");
  const bool on = value.is_boolean() ? value.get<bool>() : value == 1;
  if (on && role != "assistant") {
    throw data_error(message + " and the role \"" + role + "\": the loss is of assistant turns only");
  }
  return on;
}

void add_message(const Json& message, const std::string& key, std::size_t number, bool may_train, Record& made) {
  if (!message.is_object() || !message.contains("role") ||
      (!message.contains("content") && !(message.contains("tool_calls") && !absent(message["tool_calls"])))) {
    throw data_error("every message in \"" + key + "\" must be an object with \"role\" and \"content\"");
  }
  const std::string role = text_of(message["role"], "role");
  std::string lower = role;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (role != "assistant" && kAssistantElsewhere.count(lower) > 0) {
    throw data_error("message " + std::to_string(number) + " in \"" + key + "\" has the role \"" + role +
                     "\": expected are " + kRoles);
  }
  bool trained = role == "assistant";
  for (const auto& [name, value] : message.items()) {
    if (one_of(name, {"role", "content"}) || absent(value) || kMetadata.count(name) > 0) continue;
    if (one_of(name, {"train", "weight", "loss"})) {
      trained = switched(name, value, role, number) && trained;
    } else {
      throw data_error("message " + std::to_string(number) + " has \"" + name + "\", which the phone cannot encode" +
                       kOnComputer);
    }
  }
  made.messages.push_back({role, content_of(message.contains("content") ? message["content"] : Json(), number)});
  made.trained.push_back(trained && may_train);
}

void add_messages(const Json& list, const std::string& key, bool may_train, Record& made) {
  if (!list.is_array() || list.empty()) {
    throw data_error("\"" + key + "\" must be a list of messages, not " + list.dump().substr(0, 40));
  }
  std::size_t number = 0;
  for (const Json& message : list) add_message(message, key, ++number, may_train, made);
}

void require_answer(const std::vector<Message>& messages, std::size_t first) {
  std::set<std::string> roles;
  for (std::size_t i = first; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") return;
    roles.insert(messages[i].role);
  }
  throw data_error("has no token to train on: no message has the role \"assistant\", the roles are " + quoted(roles) +
                   "; expected are " + kRoles);
}

void add_chat(const Json& record, Record& made) {
  std::size_t first = 0;
  if (made.kind == Record::kMessages) {
    add_messages(record["messages"], "messages", true, made);
  } else {
    add_messages(record["prompt"], "prompt", false, made);
    first = made.messages.size();
    add_messages(record["completion"], "completion", true, made);
  }
  if (record.contains("system") && !absent(record["system"])) {
    for (const Message& message : made.messages) {
      if (message.role == "system") {
        throw data_error("has \"system\" and a message with the role \"system\": keep one of them");
      }
    }
    made.messages.insert(made.messages.begin(), {"system", text_of(record["system"], "system")});
    made.trained.insert(made.trained.begin(), false);
    ++first;
  }
  require_answer(made.messages, first);
  for (const char* name : {"tools", "chat_template_kwargs"}) {
    if (record.contains(name) && !absent(record[name])) {
      throw data_error(std::string("has \"") + name + "\", which the phone cannot encode" + kOnComputer);
    }
  }
}

Json parsed(const std::string& line) {
  if (const std::size_t place = tokenizer::malformed_at(line); place != std::string::npos) {
    constexpr char kHex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(line[place]);
    throw data_error("is not UTF-8: byte " + std::to_string(place + 1) + " is 0x" + kHex[byte >> 4] + kHex[byte & 15]);
  }
  try {
    return trainer::parse_json(tokenizer::stripped(line), trainer::Fields::repeated);
  } catch (const Json::parse_error& error) {
    const std::string what = error.what();
    if (what.find("surrogate") != std::string::npos) {
      throw data_error("has half a surrogate pair before column " + std::to_string(error.byte));
    }
    const std::size_t start = what.find("parse error");
    throw data_error("is not JSON: " + (start == std::string::npos ? what : what.substr(start)));
  } catch (const Json::exception& error) {
    if (error.id == trainer::kTooDeep) throw data_error("is nested too deeply");
    throw data_error(std::string("has a value that cannot be read: ") + error.what());
  }
}

}  // namespace

std::string Record::kind_in_words() const {
  switch (kind) {
    case kText: return "\"text\"";
    case kMessages: return "\"messages\"";
    case kCompletion: return "\"prompt\" and \"completion\" as text";
    default: return "\"prompt\" and \"completion\" as messages";
  }
}

Record read_record(const std::string& line) {
  const Json record = parsed(line);
  if (!record.is_object()) throw data_error(std::string("is ") + trainer::json_type(record) + ", not an object");
  const bool messages = record.contains("messages"), prompt = record.contains("prompt"),
             completion = record.contains("completion"), text = record.contains("text");
  std::set<std::string> names;
  for (const auto& each : record.items()) names.insert(each.key());
  if (messages + text + (prompt || completion) != 1 || prompt != completion) {
    throw data_error("has " + (names.empty() ? "nothing" : quoted(names)) +
                     "; it needs \"messages\", or \"prompt\" and \"completion\", or \"text\"");
  }
  Record made{};
  made.kind = messages ? Record::kMessages : text ? Record::kText : Record::kCompletion;
  if (prompt) {
    if (record["prompt"].is_string() != record["completion"].is_string()) {
      throw data_error("has text and messages: prompt and completion must be of the same type");
    }
    if (!record["prompt"].is_string()) made.kind = Record::kCompletionMessages;
  }
  const bool chat = made.kind == Record::kMessages || made.kind == Record::kCompletionMessages;
  for (const auto& [name, value] : record.items()) {
    const bool used = one_of(name, {"messages", "prompt", "completion", "text"});
    if (used || kMetadata.count(name) > 0 || absent(value)) continue;
    if (chat && one_of(name, {"system", "tools", "chat_template_kwargs"})) continue;
    throw data_error("has \"" + name +
                     "\", which is not supported: remove it, or put what only describes the record under \"metadata\"");
  }
  if (made.kind == Record::kText) {
    made.text = text_of(record["text"], "text");
  } else if (made.kind == Record::kCompletion) {
    made.prompt = text_of(record["prompt"], "prompt");
    made.text = text_of(record["completion"], "completion");
  } else {
    add_chat(record, made);
  }
  return made;
}

}  // namespace lowpeak::encode
