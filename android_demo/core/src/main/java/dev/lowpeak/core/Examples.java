package dev.lowpeak.core;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The training examples of the phone: a JSONL file that is whole after every change. All are of one kind. */
public final class Examples {
    /** Lines that an import names; more are only counted. */
    public static final int MOST_PROBLEMS = 20;

    private final File file;
    private final List<Example> examples = new ArrayList<>();

    private Examples(File file) {
        this.file = file;
    }

    /** Those of the file, or none yet. Throws IOException that names the line when one is no example. */
    public static Examples open(File file) throws IOException {
        Examples made = new Examples(file);
        if (file.exists()) {
            try (InputStream stream = new FileInputStream(file)) {
                Import read = made.read(stream);
                if (!read.problems.isEmpty()) {
                    throw new IOException(file + ", " + read.problems.get(0));
                }
                made.examples.addAll(read.examples);
            }
        }
        return made;
    }

    public List<Example> list() {
        return Collections.unmodifiableList(examples);
    }

    public int size() {
        return examples.size();
    }

    /** Throws IllegalArgumentException for another kind than the others', IOException when nothing was added. */
    public void add(Example example) throws IOException {
        requireKind(example);
        List<Example> more = new ArrayList<>(examples);
        more.add(example);
        replace(more);
    }

    /** Throws IOException when it is still there. */
    public void remove(int index) throws IOException {
        List<Example> fewer = new ArrayList<>(examples);
        fewer.remove(index);
        replace(fewer);
    }

    /**
     * Adds the lines of a JSONL file, all or none: where a line is wrong, the report says which and nothing is
     * added. Throws IOException when it cannot be read or kept.
     */
    public Import importLines(InputStream stream) throws IOException {
        Import read = read(stream);
        if (read.problems.isEmpty()) {
            List<Example> more = new ArrayList<>(examples);
            more.addAll(read.examples);
            replace(more);
        }
        return read;
    }

    private Import read(InputStream stream) throws IOException {
        Import made = new Import();
        Example.Kind kind = examples.isEmpty() ? null : examples.get(0).kind();
        try (BufferedReader reader = new BufferedReader(
                new InputStreamReader(stream, StandardCharsets.UTF_8.newDecoder()))) {
            int number = 1;
            for (String line = reader.readLine(); line != null; line = reader.readLine(), number++) {
                String text = number == 1 && line.startsWith("\uFEFF") ? line.substring(1) : line;
                if (text.trim().isEmpty()) {
                    continue;
                }
                try {
                    Example example = Example.parse(text);
                    kind = kind == null ? example.kind() : kind;
                    if (example.kind() != kind) {
                        throw new JsonException(Texts.otherKind(example.kind(), kind));
                    }
                    made.examples.add(example);
                } catch (JsonException error) {
                    made.problem(number, error.getMessage());
                }
            }
        } catch (CharacterCodingException error) {
            throw new IOException("the file is not UTF-8 text", error);
        }
        if (made.examples.isEmpty() && made.problemCount == 0 && examples.isEmpty() && !file.exists()) {
            made.problem(1, "the file is empty: it needs one JSON object a line");
        }
        return made;
    }

    private void requireKind(Example example) {
        if (!examples.isEmpty() && examples.get(0).kind() != example.kind()) {
            throw new IllegalArgumentException(Texts.otherKind(example.kind(), examples.get(0).kind()));
        }
    }

    private void replace(List<Example> next) throws IOException {
        StringBuilder text = new StringBuilder();
        for (Example example : next) {
            text.append(example.toLine()).append('\n');
        }
        Files.writeText(file, text.toString());
        examples.clear();
        examples.addAll(next);
    }

    /** What an import found. */
    public static final class Import {
        private final List<Example> examples = new ArrayList<>();
        private final List<String> problems = new ArrayList<>();
        private int problemCount;

        /** Examples that were added; 0 if there was a problem. */
        public int added() {
            return problemCount == 0 ? examples.size() : 0;
        }

        /** "line 3: ...", the first {@link #MOST_PROBLEMS} of them. */
        public List<String> problems() {
            return Collections.unmodifiableList(problems);
        }

        /** Lines that are wrong. */
        public int problemCount() {
            return problemCount;
        }

        private void problem(int line, String what) {
            problemCount++;
            if (problems.size() < MOST_PROBLEMS) {
                problems.add("line " + line + ": " + what);
            }
        }
    }
}
