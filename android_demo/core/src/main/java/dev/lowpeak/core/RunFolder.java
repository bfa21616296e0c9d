package dev.lowpeak.core;

import java.io.File;
import java.io.IOException;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Where a run's files lie: as `lowpeak train --prepare` and `lowpeak deploy` have it. */
public final class RunFolder {
    public static final String JOB = "job.json";
    public static final String CHECKPOINT = "checkpoint.safetensors";
    public static final String PREVIOUS_CHECKPOINT = "checkpoint.previous.safetensors";
    public static final String BATCHES = "batches";
    public static final String PARTIAL_BATCHES = "batches.partial";
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

    /** Where the newest is written. */
    public File checkpoint() {
        return new File(folder, CHECKPOINT);
    }

    private File previousCheckpoint() {
        return new File(folder, PREVIOUS_CHECKPOINT);
    }

    /** Whether there is one, whole or not. */
    public boolean hasCheckpoint() {
        return checkpoint().isFile() || previousCheckpoint().isFile();
    }

    /** The newest whole one, as the runner takes it; null without any. Throws IOException when none is whole. */
    public Checkpoint newestCheckpoint() throws IOException {
        List<Checkpoint> found = new ArrayList<>();
        List<String> problems = new ArrayList<>();
        for (File each : new File[] {checkpoint(), previousCheckpoint()}) {
            if (each.exists()) {
                try {
                    found.add(Checkpoint.readHeader(each));
                } catch (IOException error) {
                    problems.add(error.getMessage());
                }
            }
        }
        // The same order where both have as many steps.
        found.sort(Comparator.comparingLong(Checkpoint::step).reversed());
        for (Checkpoint each : found) {
            try {
                return Checkpoint.read(each.file());
            } catch (IOException error) {
                problems.add(error.getMessage());
            }
        }
        if (!problems.isEmpty()) {
            throw new IOException(String.join("; ", problems));
        }
        return null;
    }

    /** All batches of the steps to come, or not there. */
    public File batches() {
        return new File(folder, BATCHES);
    }

    /** What is being encoded; of one that was cut off nothing is used. */
    public File partialBatches() {
        return new File(folder, PARTIAL_BATCHES);
    }

    public File metrics() {
        return new File(folder, METRICS);
    }

    public File examples() {
        return new File(folder, EXAMPLES);
    }

    /** Updates in the newest whole checkpoint; 0 without one. Throws IOException when none is whole. */
    public long storedStep() throws IOException {
        Checkpoint newest = newestCheckpoint();
        return newest == null ? 0 : newest.step();
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

    /** What was encoded is whole: it becomes the batches at once. Throws IOException, and changes nothing. */
    public void keepBatches() throws IOException {
        move(partialBatches(), batches());
    }

    /**
     * The batches are the user's data: they go when the run has its steps. Throws IOException.
     *
     * <p>They are whole or not there, also where this is cut off.
     */
    public void removeBatches() throws IOException {
        removePartialBatches();
        if (batches().exists()) {
            move(batches(), partialBatches());
            removePartialBatches();
        }
    }

    /** Throws IOException. */
    public void removePartialBatches() throws IOException {
        File[] files = partialBatches().listFiles();
        for (File file : files == null ? new File[0] : files) {
            java.nio.file.Files.delete(file.toPath());
        }
        java.nio.file.Files.deleteIfExists(partialBatches().toPath());
    }

    private static void move(File from, File to) throws IOException {
        java.nio.file.Files.move(from.toPath(), to.toPath(), StandardCopyOption.ATOMIC_MOVE);
    }
}
