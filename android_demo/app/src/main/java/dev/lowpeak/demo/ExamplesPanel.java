package dev.lowpeak.demo;

import android.content.ContentResolver;
import android.net.Uri;
import android.widget.EditText;
import android.widget.TextView;
import dev.lowpeak.core.Example;
import dev.lowpeak.core.Examples;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;

/** What is learned: typed here, or lines of a JSONL file. It never leaves the phone. */
final class ExamplesPanel implements Panel {
    private static final int SHOWN = 5;

    private final MainActivity screen;
    private final EditText question;
    private final EditText answer;
    private final TextView list;

    ExamplesPanel(MainActivity screen) {
        this.screen = screen;
        question = screen.findViewById(R.id.question);
        answer = screen.findViewById(R.id.answer);
        list = screen.findViewById(R.id.examples);
        screen.findViewById(R.id.example_add).setOnClickListener(view -> add());
        screen.findViewById(R.id.example_remove).setOnClickListener(view -> removeLast());
        int examples = screen.onPicked(file -> importLines(file, screen.session().storage().examples(), false));
        int evaluation = screen.onPicked(file -> importLines(file, screen.session().storage().evaluation(), true));
        screen.findViewById(R.id.examples_import).setOnClickListener(
                view -> screen.pick(examples, MainActivity.openDocument("*/*")));
        screen.findViewById(R.id.evaluation_import).setOnClickListener(
                view -> screen.pick(evaluation, MainActivity.openDocument("*/*")));
    }

    @Override
    public void reload() {
        try {
            List<Example> examples = examples().list();
            int count = examples.size();
            StringBuilder text = new StringBuilder(
                    screen.getResources().getQuantityString(R.plurals.examples, count, count));
            for (int i = count - 1; i >= Math.max(0, count - SHOWN); i--) {
                text.append("\n").append(i + 1).append(". ").append(examples.get(i).title()).append(" → ")
                        .append(examples.get(i).answer());
            }
            list.setText(text);
        } catch (IOException error) {
            list.setText(error.getMessage());
        }
    }

    @Override
    public void refresh() {}

    private Examples examples() throws IOException {
        return Examples.open(screen.session().storage().examples());
    }

    private void add() {
        try {
            examples().add(Example.chat(question.getText().toString(), answer.getText().toString()));
            question.setText("");
            answer.setText("");
            question.requestFocus();
        } catch (IOException | IllegalArgumentException error) {
            screen.tell(error.getMessage());
        }
        reload();
    }

    private void removeLast() {
        try {
            Examples examples = examples();
            if (examples.size() > 0) {
                examples.remove(examples.size() - 1);
            }
        } catch (IOException error) {
            screen.tell(error.getMessage());
        }
        reload();
    }

    /** Adds the lines to the file, or replaces it; where a line is wrong nothing changes. */
    private void importLines(Uri from, File to, boolean replace) {
        Session session = screen.session();
        String imported = screen.getString(R.string.imported);
        ContentResolver resolver = screen.getApplicationContext().getContentResolver();
        session.background().start(screen.getString(R.string.importing), () -> {
            try (InputStream stream = resolver.openInputStream(from)) {
                if (stream == null) {
                    throw new IOException(from + " cannot be read");
                }
                File target = replace ? new File(to.getPath() + ".new") : to;
                if (replace) {
                    // Of an import that was cut off.
                    target.delete();
                }
                Examples.Import read = Examples.open(target).importLines(stream);
                if (read.problemCount() > 0) {
                    throw new IOException(String.join("\n", read.problems()));
                }
                if (replace && !target.renameTo(to)) {
                    throw new IOException(to + " cannot be replaced");
                }
                return imported + " " + read.added();
            }
        });
    }
}
