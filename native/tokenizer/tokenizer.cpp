#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/config.h"
#include "tokenizer/decoder.h"
#include "tokenizer/file.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"

namespace lowpeak::tokenizer {
namespace {

using trainer::Json;
using trainer::JsonReader;

// What is missing of an optional part is null.
Json part(const Json& file, const char* name) {
  const auto found = file.find(name);
  return found == file.end() ? Json() : *found;
}

JsonReader reader(const Json& value, const char* where) {
  return JsonReader(value, "ArtifactError", "tokenizer.json", where);
}

Json checked_model(const TokenizerFile& file) {
  Json model = part(file.rest, "model");
  const std::string type = reader(model, "model").has("type") ? reader(model, "model").at("type").text() : "unnamed";
  if (type != "BPE") throw unsupported("a model of the type " + type);
  if (!file.problem.empty()) throw trainer::artifact_error(file.problem);
  model.erase("vocab");
  model.erase("merges");
  return model;
}

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(TokenizerFile file)
      : model(checked_model(file)),
        normalizer_json(part(file.rest, "normalizer")),
        pre_tokenizer_json(part(file.rest, "pre_tokenizer")),
        post_processor_json(part(file.rest, "post_processor")),
        decoder_json(part(file.rest, "decoder")),
        added_json(part(file.rest, "added_tokens")),
        normalizer(reader(normalizer_json, "normalizer")),
        pre_tokenizer(reader(pre_tokenizer_json, "pre_tokenizer")),
        post_processor(reader(post_processor_json, "post_processor")),
        decoder(reader(decoder_json, "decoder")),
        added(reader(added_json, "added_tokens"), file.vocabulary, normalizer),
        bpe(reader(model, "model"), std::move(file.vocabulary), std::move(file.merges)) {
    if (pre_tokenizer.of_bytes()) bpe.pieces_are_bytes();
  }

  void add_piece(const Piece& piece, std::vector<Token>& tokens) {
    std::size_t start = piece.start;
    for (const Symbol& symbol : bpe.encode(piece.characters())) {
      const Place place = piece.text->place_of(start, start + symbol.size);
      tokens.push_back({symbol.id, place.start, place.end});
      start += symbol.size;
    }
  }

  // Offsets count characters for `tokenizers`: a space that stands for another character takes that one.
  void trim(std::string_view text, std::vector<Token>& tokens) const {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      Token& token = tokens[i];
      // An added token may have taken spaces around it.
      const bool found = added.content(token.id) != nullptr;
      const std::string_view name =
          found ? text.substr(token.start, token.end - token.start) : bpe.vocabulary().token(token.id);
      std::size_t leading = spaces(name, false), trailing = spaces(name, true);
      const bool first = i == 0 || token.start == 0;
      if (leading == 1 && first && post_processor.keeps_first_space()) leading = 0;
      for (; leading > 0 && token.start < token.end; --leading) {
        token.start += static_cast<std::uint32_t>(length_at(text.data() + token.start));
      }
      for (; trailing > 0 && token.end > token.start; --trailing) {
        token.end = static_cast<std::uint32_t>(before(text, token.end));
      }
    }
  }

  // Spaces at an end of a token.
  static std::size_t spaces(std::string_view token, bool at_end) {
    static const std::string kSpace = byte_character(' ');
    std::size_t count = 0;
    for (std::size_t i = at_end ? token.size() : 0; at_end ? i > 0 : i < token.size(); ++count) {
      const std::size_t start = at_end ? before(token, i) : i;
      const std::size_t size = length_at(token.data() + start);
      if (token.substr(start, size) != kSpace && !is_space(character_at(token.data() + start))) break;
      i = at_end ? start : start + size;
    }
    return count;
  }

  const Json model, normalizer_json, pre_tokenizer_json, post_processor_json, decoder_json, added_json;
  const Normalizer normalizer;
  const PreTokenizer pre_tokenizer;
  const PostProcessor post_processor;
  const Decoder decoder;
  const AddedTokens added;
  Bpe bpe;
};

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_file(const std::string& path) {
  TokenizerFile file = read_tokenizer_file(path);
  require_known(JsonReader(file.rest, "ArtifactError", "tokenizer.json", "tokenizer.json"), "the file",
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                 "decoder", "model"});
  return Tokenizer(std::make_unique<Parts>(std::move(file)));
}

Encoding Tokenizer::encoding(const std::string& text, bool special) const {
  if (const std::size_t place = malformed_at(text); place != std::string::npos) {
    throw trainer::data_error("the text is not UTF-8 at byte " + std::to_string(place + 1));
  }
  Parts& parts = *parts_;
  Encoding made;
  std::vector<Token>& tokens = made.tokens;
  tokens.reserve(text.size() / 3 + 8);
  for (const Section& section : parts.added.in_original(text)) {
    if (section.id != Vocabulary::kNone) {
      tokens.push_back(
          {section.id, static_cast<std::uint32_t>(section.start), static_cast<std::uint32_t>(section.end)});
      continue;
    }
    auto normalized = std::make_shared<Text>(std::string_view(text).substr(section.start, section.end - section.start),
                                             section.start);
    parts.normalizer.apply(*normalized);
    for (const Section& inner : parts.added.in_normalized(normalized->characters())) {
      if (inner.id != Vocabulary::kNone) {
        const Place place = normalized->place_of(inner.start, inner.end);
        tokens.push_back({inner.id, place.start, place.end});
        continue;
      }
      const bool whole = inner.start == 0 && inner.end == normalized->characters().size();
      const auto words = whole ? normalized : std::make_shared<Text>(*normalized, inner.start, inner.end);
      for (const Piece& piece : parts.pre_tokenizer.split(words)) parts.add_piece(piece, tokens);
    }
  }
  if (parts.post_processor.trims()) parts.trim(text, tokens);
  if (special) {
    const auto& before = parts.post_processor.before();
    const auto& behind = parts.post_processor.behind();
    made.before = before.size(), made.behind = behind.size();
    for (const std::int32_t id : behind) tokens.push_back({id, 0, 0});
    std::vector<Token> first;
    for (const std::int32_t id : before) first.push_back({id, 0, 0});
    tokens.insert(tokens.begin(), first.begin(), first.end());
  }
  return made;
}

std::vector<std::int64_t> Tokenizer::encode(const std::string& text, bool special) const {
  std::vector<std::int64_t> ids;
  for (const Token& token : encoding(text, special).tokens) ids.push_back(token.id);
  return ids;
}

std::optional<std::int64_t> Tokenizer::id_of(const std::string& token) const {
  std::int32_t id = parts_->added.find(token);
  if (id == Vocabulary::kNone) id = parts_->bpe.vocabulary().find(token);
  return id == Vocabulary::kNone ? std::nullopt : std::optional<std::int64_t>(id);
}

std::size_t Tokenizer::size() const { return std::max(parts_->bpe.vocabulary().size(), parts_->added.size()); }

std::size_t Tokenizer::longest() const {
  std::size_t most = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<std::int64_t>(i);
    const std::string* content = parts_->added.content(id);
    most = std::max({most, parts_->bpe.vocabulary().token(id).size(), content == nullptr ? 0 : content->size()});
  }
  return most;
}

std::size_t Tokenizer::bytes() const { return parts_->bpe.bytes(); }

TextStream::TextStream(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), leading_(tokenizer.parts_->decoder.leading()) {
  tokenizer.parts_->decoder.require();
}

std::string TextStream::next(std::int64_t id) {
  const Tokenizer::Parts& parts = *tokenizer_.parts_;
  if (parts.added.is_special(id)) return "";
  const std::string* content = parts.added.content(id);
  held_ += parts.decoder.bytes_of(content != nullptr ? *content : parts.bpe.vocabulary().token(id), first_);
  first_ = false;
  // What is whole, or can never be.
  std::size_t end = 0;
  bool lacking = false;
  while (end < held_.size()) {
    const std::size_t size = well_formed(std::string_view(held_).substr(end), lacking);
    if (size == 0 && lacking) break;
    end += size == 0 ? 1 : size;
  }
  return given(end);
}

std::string TextStream::rest() { return given(held_.size()); }

std::string TextStream::given(std::size_t size) {
  std::string text = lossy(std::string_view(held_).substr(0, size));
  held_.erase(0, size);
  const std::string& leading = tokenizer_.parts_->decoder.leading_text();
  while (leading_ > 0 && !text.empty()) {
    if (text.compare(0, leading.size(), leading) == 0) {
      text.erase(0, leading.size());
      --leading_;
    } else {
      leading_ = 0;
    }
  }
  return text;
}

}  // namespace lowpeak::tokenizer
