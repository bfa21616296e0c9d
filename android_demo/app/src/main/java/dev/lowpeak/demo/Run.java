package dev.lowpeak.demo;

import dev.lowpeak.core.BundleCheck;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.BundleInfo;
import dev.lowpeak.core.Checkpoint;
import dev.lowpeak.core.EncodeJob;
import dev.lowpeak.core.Hashes;
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
    private final File typed;
    private final RunFolder folder;
    private final File artifact;
    private final BundleInfo info;
    private long totalSteps;

    private Run(Storage storage, String name, File artifact, long totalSteps) throws IOException, BundleException {
        this.name = name;
        this.typed = storage.examples();
        this.folder = new RunFolder(storage.run(name));
        this.artifact = artifact;
        this.info = BundleCheck.read(artifact);
        this.totalSteps = totalSteps;
    }

    /** A new one of this phone's examples; its files are made when it starts. Throws IOException, BundleException. */
    static Run create(Storage storage, String artifact, long totalSteps) throws IOException, BundleException {
        if (!storage.examples().isFile()) {
            throw new IOException("there are no examples yet: type some, or import a JSONL file");
        }
        Run made = new Run(storage, storage.newRunName(), storage.artifact(artifact), totalSteps);
        if (!made.info.hasTokenizer()) {
            throw new IOException("the artifact has no tokenizer.json: text cannot be encoded on the phone");
        }
        return made;
    }

    /** One with a job.json, of this phone or pushed by `lowpeak deploy`. Throws IOException, BundleException. */
    static Run open(Storage storage, String name) throws IOException, BundleException {
        File folder = storage.run(name);
        TrainJob job = new RunFolder(folder).readJob();
        File artifact = new File(job.artifact());
        File absolute = artifact.isAbsolute() ? artifact : new File(folder, job.artifact());
        return new Run(storage, name, absolute, job.totalSteps());
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
        boolean text = folder.examples().isFile() || !folder.job().isFile();
        return text && !folder.batches().isDirectory();
    }

    /**
     * Writes job.json and the job of `lowpeak-runner encode`, and returns the latter's name. Throws IOException.
     *
     * <p>From here on the run can be opened, whenever the app ends. Until it has a step its examples are those of the
     * phone as they are now; then it keeps its own.
     */
    String prepareEncoding() throws IOException {
        Storage.made(folder.folder());
        folder.removePartialBatches();
        long position = 0;
        long step = 0;
        Checkpoint stored = folder.newestCheckpoint();
        if (stored != null) {
            position = stored.position();
            step = stored.step();
        } else if (typed.isFile()) {
            Files.copy(typed.toPath(), folder.examples().toPath(), StandardCopyOption.REPLACE_EXISTING);
        }
        folder.writeJob(TrainJob.builder().artifact(artifact.getPath()).data(Hashes.sha256(folder.examples()))
                .expect(info.id()).seed(SEED).position(position).firstStep(step).totalSteps(totalSteps).build());
        EncodeJob job = EncodeJob.builder().artifact(artifact.getPath()).batches(RunFolder.PARTIAL_BATCHES).seed(SEED)
                .position(position).firstStep(step).totalSteps(totalSteps).build();
        dev.lowpeak.core.Files.writeText(new File(folder.folder(), SETTINGS_ENCODE), job.toJson());
        return SETTINGS_ENCODE;
    }
}
