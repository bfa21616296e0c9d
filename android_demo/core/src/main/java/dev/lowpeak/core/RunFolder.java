package dev.lowpeak.core;

import java.io.File;
import java.io.IOException;

/** Where a run's files lie: as `lowpeak train --prepare` and `lowpeak deploy` have it. */
public final class RunFolder {
    public static final String JOB = "job.json";
    public static final String CHECKPOINT = "checkpoint.safetensors";
    public static final String BATCHES = "batches";
    public static final String METRICS = "metrics.ndjson";
    public static final String EXAMPLES = "examples.jsonl";
    public static final String EVALUATION_BATCHES = "evaluation-batches";

    private final File folder;

    public RunFolder(File folder) {
        this.folder = folder;
    }

    /** The runner's working folder. */
    public File folder() {
        return folder;
    }

    public File job() {
        return new File(folder, JOB);
    }

    public File checkpoint() {
        return new File(folder, CHECKPOINT);
    }

    public File batches() {
        return new File(folder, BATCHES);
    }

    public File metrics() {
        return new File(folder, METRICS);
    }

    public File examples() {
        return new File(folder, EXAMPLES);
    }

    /** Updates in the checkpoint; 0 without one. Throws IOException for one that is damaged. */
    public long storedStep() throws IOException {
        return checkpoint().exists() ? Checkpoint.read(checkpoint()).step() : 0;
    }

    /** Replaces job.json. */
    public void writeJob(TrainJob job) throws IOException {
        Files.writeText(job(), job.toJson());
    }

    /** Throws IOException when there is none, or none that can be read. */
    public TrainJob readJob() throws IOException {
        try {
            return TrainJob.parse(Files.readText(job()));
        } catch (JsonException error) {
            throw new IOException(job() + ": " + error.getMessage(), error);
        }
    }

    /** The batches are the user's data: they go when the run has its steps. */
    public void removeBatches() {
        File[] files = batches().listFiles();
        for (File file : files == null ? new File[0] : files) {
            file.delete();
        }
        batches().delete();
    }
}
