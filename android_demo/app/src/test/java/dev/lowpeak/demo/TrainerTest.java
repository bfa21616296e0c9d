package dev.lowpeak.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import dev.lowpeak.core.DeviceState;
import dev.lowpeak.core.Metrics;
import dev.lowpeak.core.RunPolicy;
import dev.lowpeak.core.RunState;
import dev.lowpeak.core.StepMetrics;
import dev.lowpeak.core.ThermalPolicy;
import dev.lowpeak.core.TimeLimitPolicy;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The app's trainer with the real lowpeak-runner, on a run as `lowpeak deploy --app` pushes it. */
public final class TrainerTest {
    private static final String NAME = "it's a run";
    private static final int BREAK_AT = 30;
    private static final long SECONDS = 60;

    @Rule
    public final TemporaryFolder temporary = new TemporaryFolder();

    private final ExecutorService main = Executors.newSingleThreadExecutor();
    private final RunLog log = new RunLog();
    private Storage storage;
    private RunMarker marker;
    private Trainer trainer;
    private Run run;

    @Before
    public void pushed() throws Exception {
        storage = new Storage(temporary.getRoot());
        marker = new RunMarker(storage.running());
        File libraries = temporary.newFolder("lib");
        link(libraries, "liblowpeak_runner.so", "lowpeak.runner");
        link(libraries, "liblowpeak_ops.so", "lowpeak.ops");
        copy(new File(System.getProperty("lowpeak.run")).toPath(), storage.run(NAME).toPath());
        run = Run.open(storage, NAME);
        trainer = trainer(libraries);
    }

    @After
    public void end() throws Exception {
        on(() -> {
            trainer.kill();
            return null;
        });
        while (main.submit(() -> trainer.isWorking()).get()) {
            Thread.sleep(5);
        }
        main.shutdown();
        assertTrue(main.awaitTermination(SECONDS, TimeUnit.SECONDS));
    }

    @Test
    public void trainsToItsEnd() throws Exception {
        start();
        assertEquals(NAME, marker.run());
        ended(RunState.DONE);
        assertEquals(run.totalSteps(), losses().size());
        assertEquals(run.totalSteps(), trainer.charts().step());
        assertEquals(run.totalSteps(), run.folder().storedStep());
        assertFalse("the batches are the user's data", run.folder().batches().exists());
        assertNull(marker.run());
    }

    @Test
    public void aRunThatHasItsStepsIsNotStartedAgain() throws Exception {
        start();
        ended(RunState.DONE);
        try {
            start();
            throw new AssertionError("it was started");
        } catch (IOException error) {
            assertEquals(NAME + " has its " + run.totalSteps() + " steps: ask for more to go on", error.getMessage());
        }
        assertEquals(RunState.DONE, trainer.state());
    }

    @Test
    public void aRunIsShownWithItsStepsAfterTheAppHasEnded() throws Exception {
        start();
        ended(RunState.DONE);
        trainer = trainer(temporary.newFolder("restarted"));
        on(() -> {
            trainer.open(Run.open(storage, NAME), "why it ended");
            return null;
        });
        assertEquals(run.totalSteps(), trainer.charts().step());
        assertEquals("why it ended", trainer.message());
        assertEquals(RunState.IDLE, trainer.state());
    }

    @Test
    public void pausesAndGoesOnAsIfItHadNot() throws Exception {
        start();
        ended(RunState.DONE);
        TreeMap<Long, Double> whole = losses();

        Storage.remove(run.folder().folder());
        copy(new File(System.getProperty("lowpeak.run")).toPath(), run.folder().folder().toPath());
        start();
        until(() -> trainer.charts().step() >= BREAK_AT);
        on(() -> {
            trainer.pause("of the test");
            return null;
        });
        ended(RunState.PAUSED);
        assertTrue(trainer.message(), trainer.message().contains("as of the test"));
        assertTrue(run.folder().storedStep() >= BREAK_AT);
        start();
        ended(RunState.DONE);
        assertEquals(whole, losses());
    }

    @Test
    public void policiesPauseItAndLetItGoOn() throws Exception {
        start();
        until(() -> trainer.charts().step() >= BREAK_AT);
        obey(DeviceState.builder().thermalStatus(ThermalPolicy.SEVERE));
        until(() -> trainer.waits());
        assertTrue("it goes on by itself", trainer.isBusy());
        assertEquals("it would be told, were the app ended now", NAME, marker.run());
        obey(DeviceState.builder().thermalStatus(ThermalPolicy.LIGHT + 1).paused(true));
        assertTrue("still too warm", trainer.waits());
        obey(DeviceState.builder().paused(true));
        until(() -> trainer.state() == RunState.TRAINING);
        obey(DeviceState.builder().thermalStatus(ThermalPolicy.CRITICAL));
        ended(RunState.STOPPED);
        assertNull(marker.run());
        assertTrue(run.folder().storedStep() >= BREAK_AT);
    }

    @Test
    public void aKilledRunnerIsToldAndCanBeContinued() throws Exception {
        start();
        until(() -> run.folder().checkpoint().isFile());
        on(() -> {
            trainer.kill();
            return null;
        });
        ended(RunState.FAILED);
        assertTrue(trainer.message(), trainer.message().contains("SIGKILL"));
        assertTrue(trainer.message(),
                trainer.message().contains("continue from step " + run.folder().storedStep()));
        start();
        ended(RunState.DONE);
        assertEquals(run.totalSteps(), run.folder().storedStep());
        // Killed between them, it has kept a step that it has not told.
        assertTrue(losses().size() >= run.totalSteps() - 1);
    }

    @Test
    public void stopsWhileItWaits() throws Exception {
        start();
        until(() -> trainer.charts().step() >= BREAK_AT);
        obey(DeviceState.builder().memory(1, 2, true));
        until(() -> trainer.waits());
        on(() -> {
            trainer.stop("of the test");
            return null;
        });
        assertEquals(RunState.STOPPED, trainer.state());
        assertNull(marker.run());
    }

    @Test
    public void withoutARunnerItSaysSo() throws Exception {
        trainer = trainer(temporary.newFolder("empty"));
        try {
            start();
            throw new AssertionError("it was started");
        } catch (IOException error) {
            assertTrue(error.getMessage(), error.getMessage().contains("no runner for this phone's processor"));
        }
        assertEquals(RunState.FAILED, trainer.state());
        assertTrue(trainer.message(), trainer.message().contains("no runner"));
        assertNull(marker.run());
    }

    @Test
    public void anErrorOfTheRunnerIsTold() throws Exception {
        Files.write(run.folder().job().toPath(), new byte[] {'{', '}'});
        start();
        ended(RunState.FAILED);
        assertTrue(trainer.message(), trainer.message().contains("job"));
        assertNull(marker.run());
    }

    private Trainer trainer(File libraries) {
        return new Trainer(new RunnerCommand(libraries, storage.work()), marker, log, main, () -> {});
    }

    private void start() throws Exception {
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

    /** On the trainer's thread, as everything in the app. */
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

    private void ended(RunState state) throws Exception {
        until(() -> trainer.state() == state && !trainer.isBusy());
    }

    /** By step: a step that was made again is there once. */
    private TreeMap<Long, Double> losses() throws IOException {
        TreeMap<Long, Double> made = new TreeMap<>();
        for (StepMetrics step : Metrics.read(run.folder().metrics())) {
            made.put(step.step(), step.loss());
        }
        return made;
    }

    private static void link(File folder, String name, String property) throws IOException {
        Files.createSymbolicLink(new File(folder, name).toPath(), new File(System.getProperty(property)).toPath());
    }

    private static void copy(Path from, Path to) throws IOException {
        List<Path> files;
        try (Stream<Path> found = Files.walk(from)) {
            files = found.collect(Collectors.toList());
        }
        Files.createDirectories(to.getParent());
        for (Path file : files) {
            Files.copy(file, to.resolve(from.relativize(file).toString()));
        }
    }
}
