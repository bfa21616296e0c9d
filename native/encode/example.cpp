#include "encode/example.h"

#include <algorithm>
#include <map>

#include "trainer/error.h"

namespace lowpeak::encode {
namespace {

using tokenizer::Chat;
using tokenizer::Encoding;
using tokenizer::Token;
using tokenizer::Tokenizer;

constexpr char kNoEnd[] = "the chat template closes answers with nothing that the model could learn to stop with";
constexpr char kNothing[] = "has no token to train on: no assistant turn, or an empty completion";

struct Span {
  std::size_t start, end;  // bytes of the text
};

// The tokens of an encoding that are of the text, not added around it.
struct Own {
  std::size_t first, end;
};

Own own_tokens(const Encoding& encoding) {
  const std::size_t count = encoding.tokens.size();
  if (encoding.before + encoding.behind == count) return {count, count};
  return {encoding.before, count - encoding.behind};
}

// Where a character at the edge of the span is in no token: spaces that are trimmed off offsets leave a token as wide
// as nothing, which reaches back to the one before it.
Own searched(const std::vector<Token>& tokens, const Own& own, const Span& span) {
  Own found{0, 0};
  std::size_t reached = 0;
  for (std::size_t i = own.first; i < own.end; ++i) {
    const std::size_t start = tokens[i].start, end = tokens[i].end;
    const std::size_t begins = start == end ? std::min(start, reached) : start;
    if ((begins < span.end && end > span.start) || (begins == end && span.start <= end && end < span.end)) {
      if (found.end == 0) found.first = i;
      found.end = i + 1;
    }
    reached = std::max(reached, end);
  }
  return found;
}

// The tokens that have a character in the span.
Own tokens_in(const std::vector<Token>& tokens, const Own& own, const Span& span) {
  if (span.start >= span.end) return {0, 0};
  const auto holding = [&](std::size_t place) {
    std::size_t i = own.first;
    while (i < own.end && !(tokens[i].start <= place && place < tokens[i].end)) ++i;
    return i;
  };
  const std::size_t first = holding(span.start), last = holding(span.end - 1);
  if (first == own.end || last == own.end) return searched(tokens, own, span);
  std::size_t end = last + 1;
  // One character can be several tokens.
  while (end < own.end && tokens[end].start < span.end) ++end;
  return {first, end};
}

void add_ids(const Encoding& encoding, const std::vector<Span>& spans, Example& made) {
  for (const Token& token : encoding.tokens) made.ids.push_back(token.id);
  made.labels.assign(made.ids.size(), kNoLoss);
  for (const Span& span : spans) {
    const Own found = tokens_in(encoding.tokens, own_tokens(encoding), span);
    for (std::size_t i = found.first; i < found.end; ++i) made.labels[i] = made.ids[i];
  }
}

using Ids = std::vector<std::int64_t>;

// How many ids at the end of [first, middle) are those that [middle, end) begins with.
std::size_t repeated(const Ids& ids, std::size_t first, std::size_t middle, std::size_t end) {
  for (std::size_t size = std::min(middle - first, end - middle); size > 0; --size) {
    const auto at = ids.begin() + static_cast<std::ptrdiff_t>(middle);
    if (std::equal(at - static_cast<std::ptrdiff_t>(size), at, at)) return size;
  }
  return 0;
}

void erase(Ids& ids, std::size_t first, std::size_t end) {
  ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.begin() + static_cast<std::ptrdiff_t>(end));
}

Example of_text(const Record& record, const Tokenizer& tokenizer, const Chat& chat) {
  const std::string text = record.prompt + record.text;
  const Encoding encoding = tokenizer.encoding(text, true);
  Example made;
  add_ids(encoding, {{record.prompt.size(), text.size()}}, made);
  const Own own = own_tokens(encoding);
  const bool answered = !record.text.empty();
  if (answered)
    std::copy(made.ids.begin() + static_cast<std::ptrdiff_t>(own.end), made.ids.end(),
              made.labels.begin() + static_cast<std::ptrdiff_t>(own.end));
  // What the tokenizer adds though the text brings it itself.
  const std::size_t behind = repeated(made.ids, own.first, own.end, made.ids.size());
  const std::size_t before = repeated(made.ids, 0, own.first, own.end);
  for (Ids* each : {&made.ids, &made.labels}) {
    erase(*each, own.end, own.end + behind);
    erase(*each, own.first - before, own.first);
  }
  if (answered && chat.eos && (made.labels.empty() || made.labels.back() != *chat.eos)) {
    made.ids.push_back(*chat.eos);
    made.labels.push_back(*chat.eos);
  }
  return made;
}

Example of_chat(const Record& record, const Tokenizer& tokenizer, const Chat& chat) {
  const tokenizer::Rendered rendered = chat.rendered(record.messages);
  std::vector<Span> spans;
  std::map<std::size_t, bool> ended;  // of each message's last turn
  for (const tokenizer::Turn& turn : rendered.turns) {
    if (!record.trained[turn.message]) continue;
    spans.push_back({turn.start, turn.end});
    ended[turn.message] = turn.ended;
  }
  Example made;
  add_ids(chat.tokens_of(tokenizer, rendered.text), spans, made);
  if (std::any_of(ended.begin(), ended.end(), [](const auto& each) { return !each.second; })) {
    made.warnings.emplace_back(kNoEnd);
  }
  return made;
}

}  // namespace

std::int64_t Example::trainable(std::size_t length) const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < std::min(length, labels.size()); ++i) count += labels[i] != kNoLoss;
  return count;
}

std::int64_t Example::enough() const {
  for (std::size_t i = 1; i < labels.size(); ++i) {
    if (labels[i] != kNoLoss) return static_cast<std::int64_t>(i) + 1;
  }
  return 0;
}

Example encoded(const Record& record, const Tokenizer& tokenizer, const Chat& chat) {
  const bool text = record.kind == Record::kText || record.kind == Record::kCompletion;
  Example made = text ? of_text(record, tokenizer, chat) : of_chat(record, tokenizer, chat);
  if (made.trainable(made.labels.size()) == 0) throw trainer::data_error(kNothing);
  return made;
}

}  // namespace lowpeak::encode
