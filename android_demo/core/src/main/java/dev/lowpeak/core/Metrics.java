package dev.lowpeak.core;

import java.io.BufferedReader;
import java.io.Closeable;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A metrics file: a line a step, as `lowpeak train --metrics` writes it. A repeated step is there once more. */
public final class Metrics implements Closeable {
    private final File file;
    private final FileOutputStream stream;

    private Metrics(File file, FileOutputStream stream) {
        this.file = file;
        this.stream = stream;
    }

    /** To add steps; half a line that a killed app left is cut off. Throws IOException. */
    public static Metrics append(File file) throws IOException {
        cutUnended(file);
        return new Metrics(file, new FileOutputStream(file, true));
    }

    /** Without a buffer: the line is in the file, or IOException says why not. */
    public void write(StepMetrics step) throws IOException {
        try {
            stream.write(step.toLine().getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            throw new IOException("the metrics cannot be written to " + file + ": " + error.getMessage(), error);
        }
    }

    @Override
    public void close() throws IOException {
        stream.close();
    }

    /**
     * All steps in their order, for a replay. A last line without an end is passed over.
     *
     * <p>Throws IOException that names the line when one is no step.
     */
    public static List<StepMetrics> read(File file) throws IOException {
        List<StepMetrics> made = new ArrayList<>();
        boolean ended = endsWithNewline(file);
        try (BufferedReader reader = java.nio.file.Files.newBufferedReader(file.toPath(), StandardCharsets.UTF_8)) {
            int number = 1;
            for (String line = reader.readLine(); line != null; number++) {
                String next = reader.readLine();
                if (!line.trim().isEmpty() && (next != null || ended)) {
                    try {
                        made.add(StepMetrics.parse(line));
                    } catch (JsonException error) {
                        throw new IOException(file + ", line " + number + ": " + error.getMessage(), error);
                    }
                }
                line = next;
            }
        }
        return made;
    }

    private static void cutUnended(File file) throws IOException {
        if (!file.exists() || endsWithNewline(file)) {
            return;
        }
        try (RandomAccessFile content = new RandomAccessFile(file, "rw")) {
            long end = content.length();
            while (end > 0) {
                content.seek(end - 1);
                if (content.read() == '\n') {
                    break;
                }
                end--;
            }
            content.setLength(end);
        }
    }

    private static boolean endsWithNewline(File file) throws IOException {
        if (file.length() == 0) {
            return true;
        }
        try (RandomAccessFile content = new RandomAccessFile(file, "r")) {
            content.seek(file.length() - 1);
            return content.read() == '\n';
        }
    }
}
