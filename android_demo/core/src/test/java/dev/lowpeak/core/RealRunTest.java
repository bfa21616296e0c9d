package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The state machine driven by the events of a real lowpeak-runner. */
public class RealRunTest {
    private static final long STOP_AT = 40;
    private static final List<String> NOTHING_BEFORE = Collections.emptyList();

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final RunMachine machine = new RunMachine();
    private RunFolder run;

    @Before
    public void copyRun() throws IOException {
        run = Prepared.copyTo(folder.getRoot());
    }

    private interface Ending {
        void end(Training training) throws Exception;
    }

    /** Trains until a step, at which the ending begins. */
    private Training endedAt(long step, Ending ending) throws Exception {
        return Training.run(run, machine, NOTHING_BEFORE, (training, event) -> {
            try {
                if (event.integer("step") == step) {
                    ending.end(training);
                }
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
    }

    private TreeMap<Long, Double> undisturbed() throws Exception {
        RunFolder other = Prepared.copyTo(folder.newFolder("undisturbed"));
        RunMachine of = new RunMachine();
        Training training = Training.run(other, of);
        assertEquals(RunState.DONE, of.state());
        assertEquals(other.readJob().totalSteps(), training.losses.size());
        return training.losses;
    }

    private void expect(RunState state, String message) {
        assertEquals(message, machine.message());
        assertEquals(state, machine.state());
    }

    @Test
    public void trainsToItsEnd() throws Exception {
        Training training = Training.run(run, machine);
        long steps = run.readJob().totalSteps();
        assertEquals(Arrays.asList(RunState.LOADING, RunState.TRAINING, RunState.DONE, RunState.DONE),
                training.states);
        expect(RunState.DONE, "Done: " + steps + " steps.");
        assertEquals(steps, run.storedStep());
        assertTrue(training.log.toString(), training.log.isEmpty());
    }

    @Test
    public void stoppedAndContinuedHasTheSameLosses() throws Exception {
        Training first = endedAt(STOP_AT, training -> {
            machine.stopAsked(Texts.REASON_USER);
            training.process().terminate();
        });
        long stored = run.storedStep();
        assertTrue(stored > STOP_AT && stored < run.readJob().totalSteps());
        expect(RunState.STOPPED, "Stopped at step " + stored + ", as you asked for it. It can be continued from there.");
        assertEquals(stored, machine.storedStep());
        Training second = Training.run(run, machine);
        assertEquals(Long.valueOf(stored), second.losses.firstKey());
        expect(RunState.DONE, "Done: " + run.readJob().totalSteps() + " steps.");
        TreeMap<Long, Double> all = new TreeMap<>(first.losses);
        all.putAll(second.losses);
        assertEquals(undisturbed(), all);
    }

    @Test
    public void pausedByAPolicyAndResumed() throws Exception {
        Decision decision = new ThermalPolicy().decide(DeviceState.builder().thermalStatus(3).build());
        endedAt(STOP_AT, training -> {
            machine.pauseAsked(decision.reason());
            training.process().terminate();
        });
        long stored = run.storedStep();
        expect(RunState.PAUSED, "Paused at step " + stored + ", as the phone is too hot (severe). It can be continued "
                + "from there.");
        Training.run(run, machine);
        assertEquals(RunState.DONE, machine.state());
    }

    @Test
    public void killedAndContinuedHasTheSameLosses() throws Exception {
        long every = 50;
        Training first = endedAt(every + 20, training -> training.process().kill());
        long stored = run.storedStep();
        long made = first.losses.lastKey() + 1;
        assertTrue(stored >= every && stored % every == 0 && stored <= made);
        expect(RunState.FAILED, "Training ended after step " + made + ": the system ended it without a word (SIGKILL), "
                + "most likely to get memory. You can continue from step " + stored + ".");
        Training second = Training.run(run, machine);
        assertEquals(RunState.DONE, machine.state());
        TreeMap<Long, Double> all = new TreeMap<>(first.losses);
        all.putAll(second.losses);
        assertEquals(undisturbed(), all);
    }

    @Test
    public void killedBeforeTheFirstCheckpoint() throws Exception {
        changeJob("checkpoint_every", 1_000_000L);
        Training training = endedAt(1, each -> each.process().kill());
        expect(RunState.FAILED, "Training ended after step " + (training.losses.lastKey() + 1) + ": the system ended it "
                + "without a word (SIGKILL), most likely to get memory. There is no checkpoint yet: start again from the "
                + "beginning.");
    }

    @Test
    public void whenTheAppIsGoneTheStepsAreKept() throws Exception {
        // The reader of the events ends after five lines, as it does with the app's process.
        Training.run(run, machine, Arrays.asList("sh", "-c", "\"$@\" | head -n 5", "sh"), (training, event) -> {});
        long stored = run.storedStep();
        assertTrue(stored >= 4 && stored < run.readJob().totalSteps());
        assertEquals(RunState.FAILED, machine.state());
        assertTrue(machine.message(), machine.message().endsWith(" You can continue from step " + stored + "."));
        Training.run(run, machine);
        assertEquals(RunState.DONE, machine.state());
    }

    @Test
    public void aFullDisk() throws Exception {
        endedAt(STOP_AT, training -> training.process().terminate());
        long stored = run.storedStep();
        long blocks = run.checkpoint().length() * 3 / 4 / 512;
        // Room for the optimizer's state, not for a checkpoint.
        Training.run(run, machine, writingAtMost(blocks), (training, event) -> {});
        assertEquals(stored, run.storedStep());
        String message = machine.message();
        assertEquals(message, RunState.FAILED, machine.state());
        assertTrue(message, message.matches("[0-9]+ bytes for 2 checkpoints of the run cannot be written to \\.: "
                + "File too large, [0-9]+ bytes are free; free room there, or give another folder\\. "
                + "You can continue from step " + stored + "\\."));
        Training.run(run, machine, writingAtMost(blocks / 3), (training, event) -> {});
        message = machine.message();
        assertTrue(message, message.startsWith("The optimizer's state of ") && message.endsWith(
                " You can continue from step " + stored + "."));
        Training.run(run, machine);
        assertEquals(RunState.DONE, machine.state());
    }

    /** What stands before the runner so that no file of it has more blocks of 512 bytes. */
    private static List<String> writingAtMost(long blocks) {
        return Arrays.asList("sh", "-c", "ulimit -f " + blocks + " && exec \"$@\"", "sh");
    }

    private void changeJob(String field, Object value) throws IOException, JsonException {
        JsonObject job = Json.parseObject(Files.readText(run.job()));
        job.map().put(field, value);
        Files.writeText(run.job(), Json.write(job.map()));
    }

    @Test
    public void aCorruptArtifact() throws Exception {
        File artifact = new File(folder.getRoot(), "artifact");
        try (RandomAccessFile weights = new RandomAccessFile(new File(artifact, "weights.ptd"), "rw")) {
            weights.seek(weights.length() - 1);
            int last = weights.read();
            weights.seek(weights.length() - 1);
            weights.write(last ^ 1);
        }
        Training training = Training.run(run, machine);
        assertTrue(training.losses.isEmpty());
        String message = machine.message();
        assertTrue(message, message.matches("Weights.ptd of the artifact \\.\\./artifact is not the file that was compiled: "
                + "its sha256 is [0-9a-f]{64}, the manifest says [0-9a-f]{64}; copy or compile it again\\. "
                + "There is no checkpoint yet: start again from the beginning\\."));
        assertEquals(RunState.FAILED, machine.state());
        assertEquals("ArtifactError", machine.error());
    }

    @Test
    public void aBudgetThatIsTooSmall() throws Exception {
        File manifest = new File(folder.getRoot(), "artifact/" + BundleCheck.MANIFEST);
        JsonObject raw = Json.parseObject(Files.readText(manifest));
        for (JsonObject bucket : raw.objects("buckets")) {
            bucket.object("plan").map().put("budget_bytes", 100_000L);
        }
        Files.writeText(manifest, Json.write(raw.map()));
        Map<String, Object> job = new LinkedHashMap<>(Json.parseObject(run.readJob().toJson()).map());
        job.put("expect", null);
        run.writeJob(TrainJob.parse(Json.write(job)));
        Training training = Training.run(run, machine);
        assertTrue(training.losses.isEmpty());
        String message = machine.message();
        assertTrue(message, message.matches("Stopped at step 0, as the next step needs [0-9]+\\.[0-9] MB of memory and "
                + "the artifact's budget is 0\\.1 MB: compile it for a larger budget or shorter sequences\\. "
                + "No step was made\\."));
        assertEquals(RunState.FAILED, machine.state());
    }

    @Test
    public void aRunnerThatCannotBeStarted() throws Exception {
        Training training = Training.run(
                run, machine, Arrays.asList("/nothing/lowpeak-runner"), (each, event) -> {});
        expect(RunState.FAILED, "Training ended before its first step: the runner ended with code 127 and did not say "
                + "why. There is no checkpoint yet: start again from the beginning.");
        assertTrue(training.log.toString().contains("/nothing/lowpeak-runner"));
    }

    @Test
    public void metricsOfTheEventsAreThoseOfThePlan() throws Exception {
        BundleInfo artifact = BundleCheck.check(new File(folder.getRoot(), "artifact"));
        ChartModel model = new ChartModel(run.readJob().totalSteps());
        try (Metrics metrics = Metrics.append(run.metrics())) {
            Training.run(run, machine, NOTHING_BEFORE, (training, event) -> {
                try {
                    StepMetrics step = StepMetrics.of(event, artifact);
                    metrics.write(step);
                    model.add(step);
                } catch (IOException | JsonException error) {
                    throw new AssertionError(error);
                }
            });
        }
        List<StepMetrics> read = Metrics.read(run.metrics());
        assertEquals(run.readJob().totalSteps(), read.size());
        assertEquals(artifact.plannedPeakBytes(), read.get(0).plannedPeakBytes(), 0);
        assertTrue(read.get(0).residentBytes() > 1e6 && read.get(0).peakBytes() >= read.get(0).residentBytes());
        ChartModel replayed = new ChartModel(run.readJob().totalSteps());
        read.forEach(replayed::add);
        assertEquals(model.describe(), replayed.describe());
    }

    @Test
    public void aJobOfThisAppTrainsAsThePreparedOne() throws Exception {
        TreeMap<Long, Double> expected = undisturbed();
        TrainJob prepared = run.readJob();
        Map<String, Object> before = new LinkedHashMap<>(Json.parseObject(prepared.toJson()).map());
        TrainJob own = TrainJob.builder().artifact(prepared.artifact()).data(prepared.data())
                .expect((String) before.get("expect")).totalSteps(prepared.totalSteps()).seed(prepared.seed())
                .optimizer(OptimizerOptions.builder().learningRate(5e-3).build()).build();
        // Its paths begin elsewhere; all else is the same.
        Map<String, Object> made = new LinkedHashMap<>(Json.parseObject(own.toJson()).map());
        assertEquals(before, made);
        run.writeJob(own);
        assertEquals(expected, Training.run(run, machine).losses);
        Checkpoint checkpoint = run.newestCheckpoint();
        assertEquals(BundleCheck.check(new File(folder.getRoot(), "artifact")).id(), checkpoint.artifact());
        assertEquals(prepared.data(), checkpoint.data());
        assertTrue(checkpoint.position() > 0);
    }
}
