package dev.lowpeak.demo;

import dev.lowpeak.core.RunnerProcess;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** lowpeak-runner as the APK brought it: Android lets an app start programs of this folder only. */
final class RunnerCommand {
    private static final String RUNNER = "liblowpeak_runner.so";
    /** There where the runner is linked to ExecuTorch's shared runtime; Android's own build has the operators. */
    private static final String OPERATORS = "liblowpeak_ops.so";

    private final File libraries;
    private final File work;

    /** {@code libraries}: ApplicationInfo.nativeLibraryDir; {@code work}: for temporary files, on a disk. */
    RunnerCommand(File libraries, File work) {
        this.libraries = libraries;
        this.work = work;
    }

    /** Starts it on a job in the folder: a verb, the job's name, flags. Throws IOException, also without a runner. */
    RunnerProcess start(File folder, RunnerProcess.Listener listener, String... arguments) throws IOException {
        File runner = new File(libraries, RUNNER);
        if (!runner.canExecute()) {
            throw new IOException("the app has no runner for this phone's processor: " + runner
                    + " is not there. Build the app with a runner for it.");
        }
        Storage.made(work);
        List<String> command = new ArrayList<>();
        command.add(runner.getPath());
        command.addAll(Arrays.asList(arguments));
        File operators = new File(libraries, OPERATORS);
        if (operators.isFile()) {
            command.addAll(Arrays.asList("--ops-library", operators.getPath()));
        }
        Map<String, String> environment = new HashMap<>();
        environment.put("TMPDIR", work.getPath());
        environment.put("LD_LIBRARY_PATH", libraries.getPath());
        return RunnerProcess.start(command, folder, environment, listener);
    }
}
