#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/config.h"

namespace lowpeak::tokenizer {
namespace {

bool flag(const trainer::JsonReader& token, const char* name) { return token.has(name) && token.at(name).boolean(); }

}  // namespace

AddedTokens::AddedTokens(const trainer::JsonReader& json, const Vocabulary& vocabulary, const Normalizer& normalizer) {
  if (json.is_null()) return;
  for (const trainer::JsonReader& each : json.items()) {
    require_known(each, "an added token",
                  {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const std::string content = each.at("content").text();
    const std::int32_t known = vocabulary.find(content);
    const std::int64_t id = known != Vocabulary::kNone ? known : each.at("id").integer();
    if (id < 0 || id >= 1 << 24) throw trainer::artifact_error("tokenizer.json: " + content + " has no id");
    if (content.size() > kLongestText) {
      throw unsupported("an added token of " + std::to_string(content.size()) + " bytes");
    }
    ids_[content] = static_cast<std::int32_t>(id);
    contents_[id] = content;
    size_ = std::max(size_, static_cast<std::size_t>(id) + 1);
    if (flag(each, "special")) specials_.insert(id);
    if (content.empty()) continue;
    const bool normalized = each.has("normalized") ? each.at("normalized").boolean() : !flag(each, "special");
    Text text(content, 0);
    if (normalized) normalizer.apply(text);
    (normalized ? normalized_ : original_)
        .add(std::string(text.characters()),
             {static_cast<std::int32_t>(id), flag(each, "single_word"), flag(each, "lstrip"), flag(each, "rstrip")});
  }
}

void AddedTokens::Trie::add(const std::string& text, Token token) {
  if (text.empty()) return;
  std::int32_t node = 0;
  for (const char byte : text) {
    std::int32_t child = nodes[node].child;
    while (child >= 0 && nodes[child].byte != byte) child = nodes[child].sibling;
    if (child < 0) {
      child = static_cast<std::int32_t>(nodes.size());
      nodes.push_back({byte, -1, -1, nodes[node].child});
      nodes[node].child = child;
    }
    node = child;
  }
  if (nodes[node].token >= 0) return;
  nodes[node].token = static_cast<std::int32_t>(tokens.size());
  tokens.push_back(token);
  begins[static_cast<unsigned char>(text.front())] = true;
}

std::int32_t AddedTokens::Trie::longest(std::string_view text, std::size_t start, std::size_t& end) const {
  std::int32_t found = -1, node = 0;
  for (std::size_t i = start; i < text.size(); ++i) {
    node = nodes[node].child;
    while (node >= 0 && nodes[node].byte != text[i]) node = nodes[node].sibling;
    if (node < 0) break;
    if (nodes[node].token >= 0) {
      found = nodes[node].token;
      end = i + 1;
    }
  }
  return found;
}

std::vector<Section> AddedTokens::sections(const Trie& trie, std::string_view text) {
  std::vector<Section> made;
  std::size_t done = 0;
  for (std::size_t place = 0; place < text.size();) {
    std::size_t end = 0;
    const std::int32_t found =
        trie.begins[static_cast<unsigned char>(text[place])] ? trie.longest(text, place, end) : -1;
    if (found < 0) {
      ++place;
      continue;
    }
    std::size_t start = place;
    place = end;
    const Token& token = trie.tokens[static_cast<std::size_t>(found)];
    if (token.single_word) {
      const bool begins = start == 0 || !is_word(character_at(text.data() + before(text, start)));
      const bool ends = end == text.size() || !is_word(character_at(text.data() + end));
      if (!begins || !ends) continue;
    }
    if (token.left) {
      while (start > done && is_space(character_at(text.data() + before(text, start)))) start = before(text, start);
    }
    if (token.right) {
      while (end < text.size() && is_space(character_at(text.data() + end))) end += length_at(text.data() + end);
    }
    if (done < start) made.push_back({Vocabulary::kNone, done, start});
    made.push_back({token.id, start, end});
    done = end;
  }
  if (done < text.size()) made.push_back({Vocabulary::kNone, done, text.size()});
  return made;
}

std::int32_t AddedTokens::find(const std::string& content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? Vocabulary::kNone : found->second;
}

const std::string* AddedTokens::content(std::int64_t id) const {
  const auto found = contents_.find(id);
  return found == contents_.end() ? nullptr : &found->second;
}

}  // namespace lowpeak::tokenizer
