package dev.lowpeak.core;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What tests/android/test_core.py made: a runner, an artifact and a run of it that was prepared beside it. */
final class Prepared {
    private Prepared() {}

    static File runner() {
        return property("lowpeak.runner");
    }

    static File opsLibrary() {
        return property("lowpeak.ops");
    }

    /** Copies the artifact and the run into a folder -> the run. */
    static RunFolder copyTo(File folder) throws IOException {
        copy(property("lowpeak.artifact"), new File(folder, "artifact"));
        copy(property("lowpeak.run"), new File(folder, "run"));
        return new RunFolder(new File(folder, "run"));
    }

    static File metrics() {
        return property("lowpeak.metrics");
    }

    private static File property(String name) {
        String value = System.getProperty(name);
        if (value == null) {
            throw new IllegalStateException("-D" + name + " is not given: run tests/android/test_core.py");
        }
        return new File(value);
    }

    private static void copy(File from, File to) throws IOException {
        try (Stream<Path> paths = java.nio.file.Files.walk(from.toPath())) {
            for (Path path : (Iterable<Path>) paths::iterator) {
                java.nio.file.Files.copy(path, to.toPath().resolve(from.toPath().relativize(path)));
            }
        }
    }
}
