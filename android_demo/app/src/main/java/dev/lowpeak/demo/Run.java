package dev.lowpeak.demo;

import dev.lowpeak.core.BundleCheck;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.BundleInfo;
import dev.lowpeak.core.Checkpoint;
import dev.lowpeak.core.EncodeJob;
import dev.lowpeak.core.RunFolder;
import dev.lowpeak.core.TrainJob;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

/** A training run: its folder, its artifact, and what the runner is told. */
final class Run {
    private static final long SEED = 0;
    private static final String SETTINGS_ENCODE = "encode.json";

    private final String name;
    private final RunFolder folder;
    private final File artifact;
    private final BundleInfo info;
    private long totalSteps;

    private Run(String name, File folder, File artifact, long totalSteps) throws BundleException {
        this.name = name;
        this.folder = new RunFolder(folder);
        this.artifact = artifact;
        this.info = BundleCheck.read(artifact);
        this.totalSteps = totalSteps;
    }

    /** A new one of the examples as they are now: it keeps a copy. Throws IOException, BundleException. */
    static Run create(Storage storage, String artifact, long totalSteps) throws IOException, BundleException {
        if (!storage.examples().isFile()) {
            throw new IOException("there are no examples yet: type some, or import a JSONL file");
        }
        String name = storage.newRunName();
        Run made = new Run(name, storage.run(name), storage.artifact(artifact), totalSteps);
        if (!made.info.hasTokenizer()) {
            throw new IOException("the artifact has no tokenizer.json: text cannot be encoded on the phone");
        }
        Storage.made(made.folder.folder());
        Files.copy(storage.examples().toPath(), made.folder.examples().toPath(),
                StandardCopyOption.REPLACE_EXISTING);
        return made;
    }

    /** One with a job.json, of this phone or pushed by `lowpeak deploy`. Throws IOException, BundleException. */
    static Run open(Storage storage, String name) throws IOException, BundleException {
        File folder = storage.run(name);
        TrainJob job = new RunFolder(folder).readJob();
        File artifact = new File(job.artifact());
        File absolute = artifact.isAbsolute() ? artifact : new File(folder, job.artifact());
        return new Run(name, folder, absolute, job.totalSteps());
    }

    String name() {
        return name;
    }

    RunFolder folder() {
        return folder;
    }

    File artifact() {
        return artifact;
    }

    BundleInfo info() {
        return info;
    }

    long totalSteps() {
        return totalSteps;
    }

    /** A run that has its steps may be given more; ones that it has are not taken away. */
    void extendTo(long steps) throws IOException {
        if (steps > totalSteps && folder.examples().isFile()) {
            // Its batches end with the old last step.
            folder.removeBatches();
            totalSteps = steps;
        }
    }

    /** Whether there are no batches of the steps to come, but the text that they are made of. */
    boolean needsEncoding() {
        return !folder.batches().isDirectory() && folder.examples().isFile();
    }

    /** Writes the job of `lowpeak-runner encode` and returns its name in the folder. Throws IOException. */
    String writeEncodeJob() throws IOException {
        EncodeJob.Builder job = EncodeJob.builder().artifact(artifact.getPath()).seed(SEED).totalSteps(totalSteps);
        if (folder.checkpoint().isFile()) {
            Checkpoint stored = Checkpoint.read(folder.checkpoint());
            job.position(stored.position()).firstStep(stored.step());
        }
        dev.lowpeak.core.Files.writeText(new File(folder.folder(), SETTINGS_ENCODE), job.build().toJson());
        return SETTINGS_ENCODE;
    }

    /** Writes job.json for what was encoded; {@code data}: the SHA-256 that `encoded` told. Throws IOException. */
    void writeTrainJob(String data) throws IOException {
        TrainJob.Builder job = TrainJob.builder().artifact(artifact.getPath()).data(data).seed(SEED)
                .totalSteps(totalSteps);
        if (folder.checkpoint().isFile()) {
            Checkpoint stored = Checkpoint.read(folder.checkpoint());
            job.position(stored.position()).firstStep(stored.step());
        }
        folder.writeJob(job.build());
    }
}
