package dev.lowpeak.core;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One line of training data, as docs/data.md has it. */
public final class Example {
    /** What all lines of a file have in common. */
    public enum Kind {
        CHAT("messages"),
        COMPLETION("prompt and completion"),
        TEXT("text");

        private final String words;

        Kind(String words) {
            this.words = words;
        }

        /** For errors: "messages". */
        public String words() {
            return words;
        }
    }

    private final Kind kind;
    private final Map<String, Object> record;

    private Example(Kind kind, Map<String, Object> record) {
        this.kind = kind;
        this.record = record;
    }

    /** A question and the answer that is learned. */
    public static Example chat(String question, String answer) {
        Map<String, Object> record = new LinkedHashMap<>();
        record.put("messages", Arrays.asList(
                message("user", written("the question", question)), message("assistant", written("the answer", answer))));
        return new Example(Kind.CHAT, record);
    }

    /** A text, and how it goes on: only that is learned. */
    public static Example completion(String prompt, String completion) {
        Map<String, Object> record = new LinkedHashMap<>();
        record.put("prompt", prompt);
        record.put("completion", written("the completion", completion));
        return new Example(Kind.COMPLETION, record);
    }

    /** A text that is learned whole. */
    public static Example text(String text) {
        return new Example(Kind.TEXT, Collections.singletonMap("text", written("the text", text)));
    }

    /** Of a line of a JSONL file, whose other keys are kept. Throws JsonException that says what is wrong. */
    public static Example parse(String line) throws JsonException {
        JsonObject record = JsonObject.of(Json.parse(line), "the line");
        boolean chat = record.has("messages");
        boolean completion = record.has("prompt") || record.has("completion");
        boolean text = record.has("text");
        if ((chat ? 1 : 0) + (completion ? 1 : 0) + (text ? 1 : 0) != 1) {
            throw new JsonException("it needs \"messages\", or \"prompt\" and \"completion\", or \"text\"");
        }
        if (chat) {
            checkMessages(record.objects("messages"));
        } else if (completion) {
            for (String name : new String[] {"prompt", "completion"}) {
                if (!(record.map().get(name) instanceof List)) {
                    record.text(name);
                } else {
                    record.objects(name);
                }
            }
        } else {
            record.text("text");
        }
        return new Example(chat ? Kind.CHAT : completion ? Kind.COMPLETION : Kind.TEXT, record.map());
    }

    private static void checkMessages(List<JsonObject> messages) throws JsonException {
        boolean answered = false;
        for (JsonObject message : messages) {
            answered |= message.text("role").equals("assistant");
        }
        if (!answered) {
            throw new JsonException("no message is of the role \"assistant\", so there is no answer to learn");
        }
    }

    public Kind kind() {
        return kind;
    }

    /** A line of JSONL, without its end. */
    public String toLine() {
        return Json.write(record);
    }

    /** What stands before the answer, for a list on the screen. */
    public String title() {
        if (kind == Kind.CHAT) {
            return content("messages", "user");
        }
        return kind == Kind.TEXT ? (String) record.get("text") : content("prompt", "user");
    }

    /** What is learned, for a list on the screen; empty where all of it is. */
    public String answer() {
        if (kind == Kind.CHAT) {
            return content("messages", "assistant");
        }
        return kind == Kind.TEXT ? "" : content("completion", "assistant");
    }

    /** A text, or the content of the first message of the role. */
    private String content(String name, String role) {
        Object value = record.get(name);
        if (value instanceof String) {
            return (String) value;
        }
        for (Object message : (List<?>) value) {
            Map<?, ?> fields = (Map<?, ?>) message;
            if (role.equals(fields.get("role"))) {
                Object content = fields.get("content");
                return content instanceof String ? (String) content : Json.write(content);
            }
        }
        return "";
    }

    private static Map<String, Object> message(String role, String content) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("role", role);
        made.put("content", content);
        return made;
    }

    private static String written(String what, String value) {
        if (value == null || value.trim().isEmpty()) {
            throw new IllegalArgumentException(what + " is empty");
        }
        return value;
    }
}
