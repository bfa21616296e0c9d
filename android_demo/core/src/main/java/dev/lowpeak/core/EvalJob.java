package dev.lowpeak.core;

import java.util.LinkedHashMap;
import java.util.Map;

/** What `lowpeak-runner eval` takes the loss of: batches that `encode` wrote. */
public final class EvalJob {
    private final Map<String, Object> fields;

    private EvalJob(Map<String, Object> fields) {
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
        private String batches = RunFolder.EVALUATION_BATCHES;
        private Long count;
        private String checkpoint;

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

        public Builder batches(String value) {
            batches = value;
            return this;
        }

        /** Batches. */
        public Builder count(long value) {
            count = Require.atLeast("count", value, 1);
            return this;
        }

        /** Whose adapter is used; null: the adapter as it was before training. */
        public Builder checkpoint(String value) {
            checkpoint = value;
            return this;
        }

        /** Throws IllegalArgumentException when something is missing. */
        public EvalJob build() {
            Map<String, Object> made = new LinkedHashMap<>();
            made.put("artifact", Require.given("artifact", artifact));
            made.put("work", Require.given("work", work));
            made.put("batches", Require.given("batches", batches));
            made.put("count", Require.given("count", count));
            made.put("checkpoint", checkpoint);
            return new EvalJob(made);
        }
    }
}
