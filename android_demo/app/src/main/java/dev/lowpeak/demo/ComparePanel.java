package dev.lowpeak.demo;

import android.widget.Button;
import android.widget.CheckBox;
import android.widget.EditText;
import android.widget.TextView;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.Texts;
import dev.lowpeak.core.Units;
import java.io.File;
import java.io.IOException;

/** What training changed: loss and a short text, without and with the adapter. */
final class ComparePanel implements Panel {
    private final MainActivity screen;
    private final TrainPanel runs;
    private final EditText prompt;
    private final CheckBox question;
    private final Button compare;
    private final Button stop;
    private final TextView results;

    ComparePanel(MainActivity screen, TrainPanel runs) {
        this.screen = screen;
        this.runs = runs;
        prompt = screen.findViewById(R.id.prompt);
        question = screen.findViewById(R.id.as_question);
        compare = screen.findViewById(R.id.compare);
        stop = screen.findViewById(R.id.compare_stop);
        results = screen.findViewById(R.id.results);
        compare.setOnClickListener(view -> compare());
        stop.setOnClickListener(view -> screen.session().stop(Texts.REASON_USER));
    }

    @Override
    public void refresh() {
        Comparison comparison = screen.session().comparison();
        compare.setEnabled(!screen.session().isBusy());
        stop.setEnabled(comparison.isBusy());
        String text = screen.getString(R.string.comparison, Units.loss(comparison.lossBefore()),
                Units.loss(comparison.lossAfter()), comparison.textBefore(), comparison.textAfter());
        results.setText(comparison.message().isEmpty() ? text : comparison.message() + "\n" + text);
    }

    private void compare() {
        try {
            Run run = runs.chosen();
            if (run == null) {
                throw new IOException(screen.getString(R.string.run_none));
            }
            screen.session().compare(run, evaluation(run), prompt.getText().toString().trim(), question.isChecked());
            screen.keepRunning();
        } catch (IOException | BundleException | IllegalStateException error) {
            screen.tell(error.getMessage());
        }
    }

    /** What was imported for it, or else what the run is trained on; null for a run whose text is elsewhere. */
    private File evaluation(Run run) {
        File imported = screen.session().storage().evaluation();
        if (!run.info().hasTokenizer()) {
            return null;
        }
        return imported.isFile() ? imported : run.folder().examples().isFile() ? run.folder().examples() : null;
    }
}
