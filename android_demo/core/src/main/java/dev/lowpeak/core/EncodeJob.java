package dev.lowpeak.core;

import java.util.LinkedHashMap;
import java.util.Map;

/** What `lowpeak-runner encode` makes batches of: a JSONL file of examples. */
public final class EncodeJob {
    private final Map<String, Object> fields;

    private EncodeJob(Map<String, Object> fields) {
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
        private String data = RunFolder.EXAMPLES;
        private String work = ".";
        private String batches = RunFolder.BATCHES;
        private long seed;
        private long position;
        private long firstStep;
        private Long totalSteps;
        private long accumulate = 1;

        /** The artifact's folder. */
        public Builder artifact(String value) {
            artifact = value;
            return this;
        }

        /** The JSONL file. */
        public Builder data(String value) {
            data = value;
            return this;
        }

        /** A folder for temporary files. */
        public Builder work(String value) {
            work = value;
            return this;
        }

        /** The folder that is written. */
        public Builder batches(String value) {
            batches = value;
            return this;
        }

        /** Of the order of the examples. */
        public Builder seed(long value) {
            seed = value;
            return this;
        }

        /** Where the first batch begins in that order: the checkpoint's position, or 0. */
        public Builder position(long value) {
            position = Require.atLeast("position", value, 0);
            return this;
        }

        public Builder firstStep(long value) {
            firstStep = Require.atLeast("first_step", value, 0);
            return this;
        }

        public Builder totalSteps(long value) {
            totalSteps = Require.atLeast("total_steps", value, 1);
            return this;
        }

        public Builder accumulate(long value) {
            accumulate = Require.atLeast("accumulate", value, 1);
            return this;
        }

        /** Throws IllegalArgumentException when something is missing. */
        public EncodeJob build() {
            Map<String, Object> made = new LinkedHashMap<>();
            made.put("artifact", Require.given("artifact", artifact));
            made.put("data", Require.given("data", data));
            made.put("work", Require.given("work", work));
            made.put("batches", Require.given("batches", batches));
            made.put("seed", seed);
            made.put("position", position);
            made.put("first_step", firstStep);
            made.put("total_steps", Require.given("total_steps", totalSteps));
            made.put("accumulate", accumulate);
            return new EncodeJob(made);
        }
    }
}
