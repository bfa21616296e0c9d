package dev.lowpeak.core;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What `lowpeak-runner generate` goes on from: a prompt, or a question to a chat model. */
public final class GenerateJob {
    private final Map<String, Object> fields;

    private GenerateJob(Map<String, Object> fields) {
        this.fields = fields;
    }

    public static Builder builder() {
        return new Builder();
    }

    public String toJson() {
        return Json.write(fields);
    }

    public static final class Builder {
        private String artifact;
        private String work = ".";
        private String checkpoint;
        private String prompt;
        private List<Map<String, Object>> messages;
        private long maxTokens = 64;
        private double temperature;
        private long seed;

        /** The artifact's folder. */
        public Builder artifact(String value) {
            artifact = value;
            return this;
        }

        /** A folder for temporary files. */
        public Builder work(String value) {
            work = value;
            return this;
        }

        /** Whose adapter is used; null: the adapter as it was before training. */
        public Builder checkpoint(String value) {
            checkpoint = value;
            return this;
        }

        /** Plain text to go on from. */
        public Builder prompt(String value) {
            prompt = value;
            messages = null;
            return this;
        }

        /** A question that the chat template is put around. */
        public Builder question(String value) {
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("role", "user");
            message.put("content", value);
            messages = Collections.singletonList(message);
            prompt = null;
            return this;
        }

        public Builder maxTokens(long value) {
            maxTokens = Require.atLeast("max_tokens", value, 1);
            return this;
        }

        /** 0: always the likeliest token. */
        public Builder temperature(double value) {
            temperature = Require.atLeast("temperature", value, 0);
            return this;
        }

        public Builder seed(long value) {
            seed = value;
            return this;
        }

        /** Throws IllegalArgumentException when something is missing. */
        public GenerateJob build() {
            if (prompt == null && messages == null) {
                throw new IllegalArgumentException("neither a prompt nor a question is given");
            }
            Map<String, Object> made = new LinkedHashMap<>();
            made.put("artifact", Require.given("artifact", artifact));
            made.put("work", Require.given("work", work));
            made.put("checkpoint", checkpoint);
            made.put("prompt", prompt);
            made.put("messages", messages);
            made.put("max_tokens", maxTokens);
            made.put("temperature", temperature);
            made.put("seed", seed);
            return new GenerateJob(made);
        }
    }
}
