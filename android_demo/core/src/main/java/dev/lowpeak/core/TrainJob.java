package dev.lowpeak.core;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What `lowpeak-runner` trains: lowpeak_runtime/train/session.py's Job.
 * Paths are relative to the runner's working folder.
 */
public final class TrainJob {
    private final Map<String, Object> fields;

    private TrainJob(Map<String, Object> fields) {
        this.fields = fields;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** Of job.json as `lowpeak deploy` or this class wrote it. */
    public static TrainJob parse(String text) throws JsonException {
        JsonObject job = JsonObject.of(Json.parse(text), "the job");
        job.text("artifact");
        job.text("checkpoint");
        job.text("data");
        for (String name : new String[] {"seed", "position", "first_step", "total_steps", "accumulate"}) {
            job.integer(name);
        }
        job.object("optimizer");
        return new TrainJob(job.map());
    }

    public String toJson() {
        return Json.write(fields);
    }

    /** Updates that the run ends with. */
    public long totalSteps() {
        return (Long) fields.get("total_steps");
    }

    public long firstStep() {
        return (Long) fields.get("first_step");
    }

    public long accumulate() {
        return (Long) fields.get("accumulate");
    }

    public long seed() {
        return (Long) fields.get("seed");
    }

    /** SHA-256 of what is trained on; a checkpoint continues with the same only. */
    public String data() {
        return (String) fields.get("data");
    }

    public String artifact() {
        return (String) fields.get("artifact");
    }

    public static final class Builder {
        private String artifact;
        private String work = ".";
        private String batches = RunFolder.BATCHES;
        private String data;
        private String expect;
        private long position;
        private long firstStep;
        private Long totalSteps;
        private long accumulate = 1;
        private long seed;
        private OptimizerOptions optimizer = OptimizerOptions.builder().build();
        private String checkpoint = RunFolder.CHECKPOINT;
        private long checkpointEvery = 50;

        /** The artifact's folder. */
        public Builder artifact(String value) {
            artifact = value;
            return this;
        }

        /** A folder for temporary files, on a disk. */
        public Builder work(String value) {
            work = value;
            return this;
        }

        /** The folder of the batches from {@code firstStep} on. */
        public Builder batches(String value) {
            batches = value;
            return this;
        }

        /** SHA-256 of the data file. */
        public Builder data(String value) {
            data = value;
            return this;
        }

        /** SHA-256 of the artifact's manifest: BundleInfo's id. The runner refuses another; by default it takes any. */
        public Builder expect(String value) {
            expect = value;
            return this;
        }

        /** Where the first batch begins in the order of the data: the checkpoint's position, or 0. */
        public Builder position(long value) {
            position = Require.atLeast("position", value, 0);
            return this;
        }

        /** Updates that the adapter has had: the checkpoint's step, or 0. */
        public Builder firstStep(long value) {
            firstStep = Require.atLeast("first_step", value, 0);
            return this;
        }

        /** Updates that the run ends with, earlier ones included. */
        public Builder totalSteps(long value) {
            totalSteps = Require.atLeast("total_steps", value, 1);
            return this;
        }

        /** Batches whose gradients make one update. */
        public Builder accumulate(long value) {
            accumulate = Require.atLeast("accumulate", value, 1);
            return this;
        }

        /** Of the order of the data. */
        public Builder seed(long value) {
            seed = value;
            return this;
        }

        public Builder optimizer(OptimizerOptions value) {
            optimizer = value;
            return this;
        }

        public Builder checkpoint(String value) {
            checkpoint = value;
            return this;
        }

        /** Steps between checkpoints; one is also written whenever the run ends. */
        public Builder checkpointEvery(long value) {
            checkpointEvery = Require.atLeast("checkpoint_every", value, 1);
            return this;
        }

        /** Throws IllegalArgumentException when something is missing. */
        public TrainJob build() {
            Map<String, Object> made = new LinkedHashMap<>();
            made.put("manifest", Require.given("artifact", artifact) + "/" + BundleCheck.MANIFEST);
            made.put("artifact", artifact);
            made.put("work", Require.given("work", work));
            made.put("batches", Require.given("batches", batches));
            made.put("streamed", false);
            made.put("data", Require.given("data", data));
            made.put("position", position);
            made.put("first_step", firstStep);
            made.put("total_steps", Require.given("total_steps", totalSteps));
            made.put("accumulate", accumulate);
            made.put("seed", seed);
            made.put("optimizer", optimizer.toMap());
            made.put("checkpoint", Require.given("checkpoint", checkpoint));
            made.put("checkpoint_every", checkpointEvery);
            made.put("expect", expect);
            return new TrainJob(made);
        }
    }
}
