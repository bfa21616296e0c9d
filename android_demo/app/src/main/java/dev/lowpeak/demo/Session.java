package dev.lowpeak.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import dev.lowpeak.core.Decision;
import dev.lowpeak.core.DeviceState;
import dev.lowpeak.core.RunPolicy;
import dev.lowpeak.core.Texts;
import dev.lowpeak.core.TimeLimitPolicy;
import java.io.File;
import java.io.IOException;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.Executor;

/** All that goes on in the app, whether or not its screen is there. Lives in the service, on the main thread. */
final class Session {
    private final Storage storage;
    private final RunMarker marker;
    private final RunLog log = new RunLog();
    private final DeviceMonitor device;
    private final Trainer trainer;
    private final Comparison comparison;
    private final Background background;
    private final Set<Runnable> listeners = new LinkedHashSet<>();
    private boolean onlyWhileCharging;

    Session(Context context) {
        storage = new Storage(context.getFilesDir());
        marker = new RunMarker(storage.running());
        device = new DeviceMonitor(context);
        File libraries = new File(context.getApplicationInfo().nativeLibraryDir);
        RunnerCommand command = new RunnerCommand(libraries, storage.work());
        Handler handler = new Handler(Looper.getMainLooper());
        Executor main = handler::post;
        background = new Background(main, this::changed);
        trainer = new Trainer(command, marker, log, main, this::changed);
        comparison = new Comparison(command, log, main, this::changed);
    }

    Storage storage() {
        return storage;
    }

    RunMarker marker() {
        return marker;
    }

    RunLog log() {
        return log;
    }

    DeviceMonitor device() {
        return device;
    }

    Trainer trainer() {
        return trainer;
    }

    Comparison comparison() {
        return comparison;
    }

    Background background() {
        return background;
    }

    /** Whether the app must not be put to sleep. */
    boolean isBusy() {
        return trainer.isBusy() || comparison.isBusy();
    }

    /** Whether a runner works right now. */
    boolean isWorking() {
        return trainer.isWorking() || comparison.isBusy();
    }

    /** Stops everything, as the service ends. */
    void close(String reason) {
        stop(reason);
        background.close();
    }

    void setOnlyWhileCharging(boolean only) {
        onlyWhileCharging = only;
    }

    boolean onlyWhileCharging() {
        return onlyWhileCharging;
    }

    /** Starts or continues the run. Throws IOException where the phone or the files do not allow it. */
    void train(Run run) throws IOException {
        if (comparison.isBusy()) {
            throw new IOException("a comparison is going on: wait for its end, or stop it");
        }
        Decision decision = policy().decide(device.state(run.info().plannedAnonymousBytes(), false));
        if (decision.action() != Decision.Action.RUN) {
            throw new IOException("it was not started, as " + decision.reason());
        }
        trainer.start(run);
    }

    /** Throws IOException where no comparison can be made now. */
    void compare(Run run, File evaluation, String prompt, boolean chat) throws IOException {
        if (trainer.isBusy()) {
            throw new IOException("the run is going on, and takes the memory: pause or stop it first");
        }
        comparison.start(run, evaluation, prompt, chat);
    }

    /** Stops everything with a checkpoint. */
    void stop(String reason) {
        try {
            if (trainer.isBusy()) {
                trainer.stop(reason);
            }
            if (comparison.isBusy()) {
                comparison.cancel();
            }
        } catch (IOException | IllegalStateException error) {
            tell(error);
        }
    }

    void pause() {
        try {
            trainer.pause(Texts.REASON_USER);
        } catch (IOException | IllegalStateException error) {
            tell(error);
        }
    }

    /** Looks at the phone, and pauses, goes on or stops accordingly. */
    void check() {
        if (!trainer.isBusy()) {
            return;
        }
        try {
            boolean waits = trainer.waits();
            long needed = waits ? trainer.run().info().plannedAnonymousBytes() : 0;
            DeviceState state = device.state(needed, waits);
            trainer.obey(policy().decide(state));
        } catch (IOException | IllegalStateException error) {
            tell(error);
        }
    }

    /** Calls the listener, on the main thread, after anything has changed. */
    void listen(Runnable listener) {
        listeners.add(listener);
    }

    void unlisten(Runnable listener) {
        listeners.remove(listener);
    }

    private RunPolicy policy() {
        // The service's type has no time limit; should the system set one, it calls onTimeout.
        return RunPolicy.of(onlyWhileCharging, TimeLimitPolicy.none());
    }

    private void tell(Exception error) {
        log.add(error.getMessage());
        changed();
    }

    private void changed() {
        for (Runnable listener : new LinkedHashSet<>(listeners)) {
            listener.run();
        }
    }
}
