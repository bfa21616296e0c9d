package dev.lowpeak.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import dev.lowpeak.core.DeviceState;
import dev.lowpeak.core.Example;
import dev.lowpeak.core.Examples;
import dev.lowpeak.core.RunPolicy;
import dev.lowpeak.core.RunState;
import dev.lowpeak.core.RunnerEvent;
import dev.lowpeak.core.RunnerProcess;
import dev.lowpeak.core.ThermalPolicy;
import dev.lowpeak.core.TimeLimitPolicy;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** A run that is born on the phone: text typed there, encoded, trained and compared by the real lowpeak-runner. */
public final class PhoneRunTest {
    private static final String ARTIFACT = "artifact";
    private static final long STEPS = 20;
    /** Their batches are many files: the first is there long before the last. */
    private static final long MANY_STEPS = 100_000;
    private static final long SECONDS = 120;

    @Rule
    public final TemporaryFolder temporary = new TemporaryFolder();

    private final ExecutorService main = Executors.newSingleThreadExecutor();
    private final RunLog log = new RunLog();
    private Storage storage;
    private RunnerCommand command;
    private Trainer trainer;
    private Comparison comparison;

    @Before
    public void typed() throws Exception {
        storage = new Storage(temporary.getRoot());
        File libraries = temporary.newFolder("lib");
        link(new File(libraries, "liblowpeak_runner.so"), "lowpeak.runner");
        link(new File(libraries, "liblowpeak_ops.so"), "lowpeak.ops");
        Storage.made(storage.artifacts());
        link(storage.artifact(ARTIFACT), "lowpeak.text_artifact");
        command = new RunnerCommand(libraries, storage.work());
        trainer = new Trainer(command, new RunMarker(storage.running()), log, main, () -> {});
        comparison = new Comparison(command, log, main, () -> {});
        Examples examples = Examples.open(storage.examples());
        for (String text : new String[] {"hello world", "the quick brown fox", "jumps over the lazy dog"}) {
            examples.add(Example.text(text));
        }
    }

    @After
    public void end() throws Exception {
        on(() -> {
            trainer.kill();
            comparison.cancel();
            return null;
        });
        until(() -> !trainer.isWorking() && !comparison.isBusy());
        main.shutdown();
    }

    @Test
    public void isEncodedTrainedAndMadeLonger() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        train(run);
        assertEquals(STEPS, run.folder().storedStep());
        assertEquals(STEPS, trainer.charts().step());
        assertFalse("the batches are the user's data", run.folder().batches().exists());

        run.extendTo(2 * STEPS);
        train(run);
        assertEquals(2 * STEPS, run.folder().storedStep());
        assertEquals(2 * STEPS, Run.open(storage, run.name()).totalSteps());
    }

    @Test
    public void isPausedAndGoesOnWithItsBatches() throws Exception {
        Run run = Run.create(storage, ARTIFACT, 10 * STEPS);
        start(run);
        until(() -> trainer.charts().step() >= STEPS);
        on(() -> {
            trainer.pause("of the test");
            return null;
        });
        until(() -> trainer.state() == RunState.PAUSED && !trainer.isBusy());
        assertTrue(run.folder().batches().exists());
        train(run);
        assertEquals(10 * STEPS, run.folder().storedStep());
    }

    @Test
    public void pausedWhileItEncodesItGoesOnByItself() throws Exception {
        Run run = Run.create(storage, ARTIFACT, MANY_STEPS);
        start(run);
        until(() -> hasPartOfItsBatches(run));
        obey(DeviceState.builder().thermalStatus(ThermalPolicy.SEVERE));
        until(() -> trainer.waits());
        assertEquals("Paused at step 0, as the phone is too hot (severe). No step was made. The examples were not all "
                + "ready: they are made ready anew.", trainer.message());
        nothingIsEncoded(run);
        obey(DeviceState.builder().paused(true));
        trains(run, 0);
    }

    @Test
    public void stoppedOrKilledWhileItEncodesItStartsAgain() throws Exception {
        Run run = Run.create(storage, ARTIFACT, MANY_STEPS);
        start(run);
        until(() -> hasPartOfItsBatches(run));
        on(() -> {
            trainer.stop("of the test");
            return null;
        });
        until(() -> trainer.state() == RunState.STOPPED && !trainer.isBusy());
        nothingIsEncoded(run);
        start(run);
        until(() -> hasPartOfItsBatches(run));
        on(() -> {
            trainer.kill();
            return null;
        });
        until(() -> trainer.state() == RunState.FAILED && !trainer.isBusy());
        assertTrue(trainer.message(), trainer.message().startsWith("It ended while the examples were made ready: "));
        nothingIsEncoded(run);
        start(run);
        trains(run, 0);
    }

    @Test
    public void anExampleThatDoesNotFitIsToldAndMended() throws Exception {
        write("{\"text\": \"one\"}", "{\"text\": \"two\"}", "{\"text\": \"\"}");
        Run run = Run.create(storage, ARTIFACT, STEPS);
        for (int attempt = 0; attempt < 2; attempt++) {
            start(run);
            until(() -> trainer.state() == RunState.FAILED && !trainer.isBusy());
            assertTrue(trainer.message(), trainer.message().contains("line 3: has no token to train on"));
            assertTrue(trainer.message(), trainer.message().endsWith("Mend the examples and start again."));
            nothingIsEncoded(run);
        }
        write("{\"text\": \"one\"}", "{\"text\": \"two\"}", "{\"text\": \"three\"}");
        train(run);
        assertEquals(STEPS, run.folder().storedStep());
        assertArrayEquals(Files.readAllBytes(storage.examples().toPath()),
                Files.readAllBytes(run.folder().examples().toPath()));
    }

    @Test
    public void killedWithTheAppWhileItEncodesItIsOpenedAgain() throws Exception {
        Run run = Run.create(storage, ARTIFACT, MANY_STEPS);
        endWithTheApp(run);
        Run opened = Run.open(storage, run.name());
        assertEquals(MANY_STEPS, opened.totalSteps());
        assertTrue(opened.needsEncoding());
        start(opened);
        trains(opened, 0);
    }

    @Test
    public void killedWithTheAppWhileItIsMadeLongerItIsOpenedAgain() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        train(run);
        byte[] learned = Files.readAllBytes(run.folder().examples().toPath());
        write("{\"text\": \"of another run\"}");
        run.extendTo(MANY_STEPS);
        endWithTheApp(run);
        Run opened = Run.open(storage, run.name());
        assertEquals(MANY_STEPS, opened.totalSteps());
        assertTrue(opened.needsEncoding());
        start(opened);
        trains(opened, STEPS);
        assertArrayEquals("a run with steps keeps its examples", learned,
                Files.readAllBytes(run.folder().examples().toPath()));
    }

    @Test
    public void batchesThatWereBeingRemovedAreEncodedAgain() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        train(run);
        // Of an app that was killed as it removed them.
        Files.createDirectory(run.folder().partialBatches().toPath());
        Files.write(new File(run.folder().partialBatches(), "20-21.safetensors").toPath(), new byte[] {1});
        run.extendTo(2 * STEPS);
        train(run);
        assertEquals(2 * STEPS, run.folder().storedStep());
        nothingIsEncoded(run);
    }

    @Test
    public void ofARunThatWasNotStartedNothingIsLeft() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        assertFalse(run.folder().folder().exists());
    }

    @Test
    public void lossAndTextAreComparedWithoutAndWithTheAdapter() throws Exception {
        Run run = Run.create(storage, ARTIFACT, 10 * STEPS);
        train(run);
        on(() -> {
            comparison.start(run, run.folder().examples(), "the ", false);
            return null;
        });
        until(() -> !comparison.isBusy());
        assertEquals(log.text(), "", comparison.message());
        assertTrue(log.text(), comparison.lossAfter() < comparison.lossBefore());
        assertFalse(log.text(), comparison.textBefore().isEmpty());
        assertFalse(log.text(), comparison.textAfter().isEmpty());
    }

    @Test
    public void withoutAnAdapterThereIsNothingToCompare() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        try {
            on(() -> {
                comparison.start(run, null, "hello", false);
                return null;
            });
            throw new AssertionError("it was started");
        } catch (IOException error) {
            assertTrue(error.getMessage(), error.getMessage().contains("no checkpoint yet"));
        }
    }

    @Test
    public void importedLinesAreTrained() throws Exception {
        byte[] lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n".getBytes(StandardCharsets.UTF_8);
        assertEquals(2, Examples.open(storage.examples()).importLines(new ByteArrayInputStream(lines)).added());
        Run run = Run.create(storage, ARTIFACT, STEPS);
        train(run);
        assertEquals(5, Examples.open(run.folder().examples()).size());
    }

    private void start(Run run) throws Exception {
        on(() -> {
            trainer.start(run);
            return null;
        });
    }

    private void obey(DeviceState.Builder state) throws Exception {
        on(() -> {
            trainer.obey(RunPolicy.of(false, TimeLimitPolicy.none()).decide(state.build()));
            return null;
        });
    }

    private void write(String... lines) throws IOException {
        Files.write(storage.examples().toPath(), Arrays.asList(lines));
    }

    /** Leaves what is there when the system ends app and runner at once, while it encodes. */
    private void endWithTheApp(Run run) throws Exception {
        CountDownLatch ended = new CountDownLatch(1);
        RunnerProcess process = command.start(run.folder().folder(), new RunnerProcess.Listener() {
            @Override
            public void onEvent(RunnerEvent event) {}

            @Override
            public void onLog(String line) {}

            @Override
            public void onExit(int code, Integer signal) {
                ended.countDown();
            }
        }, "encode", run.prepareEncoding());
        until(() -> hasPartOfItsBatches(run));
        process.kill();
        assertTrue(ended.await(SECONDS, TimeUnit.SECONDS));
        assertTrue(hasPartOfItsBatches(run));
    }

    private static boolean hasPartOfItsBatches(Run run) {
        String[] files = run.folder().partialBatches().list((folder, name) -> name.endsWith(".safetensors"));
        return files != null && files.length > 0;
    }

    private static void nothingIsEncoded(Run run) {
        assertFalse(run.folder().batches().exists());
        assertFalse(run.folder().partialBatches().exists());
    }

    /** It is encoded whole and goes on after the steps that it has; it is stopped then. */
    private void trains(Run run, long stored) throws Exception {
        until(() -> trainer.state() == RunState.TRAINING && trainer.charts().step() > stored);
        assertTrue(run.folder().batches().isDirectory());
        assertFalse(run.folder().partialBatches().exists());
        assertEquals(MANY_STEPS, run.folder().readJob().totalSteps());
        assertEquals(stored, run.folder().readJob().firstStep());
        on(() -> {
            trainer.stop("of the test");
            return null;
        });
        until(() -> trainer.state() == RunState.STOPPED && !trainer.isBusy());
        assertTrue(run.folder().storedStep() > stored);
    }

    private void train(Run run) throws Exception {
        start(run);
        until(() -> !trainer.isBusy());
        assertEquals(trainer.message() + "\n" + log.text(), RunState.DONE, trainer.state());
    }

    private void on(Callable<Void> task) throws Exception {
        try {
            main.submit(task).get(SECONDS, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException error) {
            throw error.getCause() instanceof IOException ? (IOException) error.getCause() : error;
        }
    }

    private void until(BooleanSupplier condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
        while (!main.submit(condition::getAsBoolean).get()) {
            if (System.nanoTime() > end) {
                throw new AssertionError(trainer.state() + ": " + trainer.message() + "\n" + log.text());
            }
            Thread.sleep(5);
        }
    }

    private static void link(File link, String property) throws IOException {
        Files.createSymbolicLink(link.toPath(), new File(System.getProperty(property)).toPath());
    }
}
