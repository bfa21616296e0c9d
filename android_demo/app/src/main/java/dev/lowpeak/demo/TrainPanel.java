package dev.lowpeak.demo;

import android.view.View;
import android.widget.AdapterView;
import android.widget.Button;
import android.widget.CheckBox;
import android.widget.EditText;
import android.widget.Spinner;
import android.widget.TextView;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.RunFolder;
import dev.lowpeak.core.RunState;
import dev.lowpeak.core.Texts;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Starts, pauses, continues and stops a run, and says where it is. */
final class TrainPanel implements Panel, AdapterView.OnItemSelectedListener {
    private final MainActivity screen;
    private final Choice choice;
    private final EditText steps;
    private final CheckBox onlyWhileCharging;
    private final Button start;
    private final Button pause;
    private final Button stop;
    private final TextView message;
    private final TextView device;
    private final ChartView chart;

    TrainPanel(MainActivity screen) {
        this.screen = screen;
        Spinner spinner = screen.findViewById(R.id.run);
        choice = new Choice(spinner);
        spinner.setOnItemSelectedListener(this);
        steps = screen.findViewById(R.id.steps);
        onlyWhileCharging = screen.findViewById(R.id.only_while_charging);
        start = screen.findViewById(R.id.start);
        pause = screen.findViewById(R.id.pause);
        stop = screen.findViewById(R.id.stop);
        message = screen.findViewById(R.id.message);
        device = screen.findViewById(R.id.device);
        chart = screen.findViewById(R.id.chart);
        start.setOnClickListener(view -> start());
        pause.setOnClickListener(view -> screen.session().pause());
        stop.setOnClickListener(view -> screen.session().stop(Texts.REASON_USER));
        onlyWhileCharging.setOnCheckedChangeListener((button, checked) -> {
            if (screen.isBound()) {
                screen.session().setOnlyWhileCharging(checked);
            }
        });
    }

    /** The run that is shown, opened; null for a new one. */
    Run chosen() throws IOException, BundleException {
        String name = choice.chosen();
        Run open = screen.session().trainer().run();
        if (open != null && open.name().equals(name)) {
            return open;
        }
        return isNew(name) ? null : Run.open(screen.session().storage(), name);
    }

    /** Starts or continues a run that is there: what `lowpeak deploy --run` asks for. */
    void train(String name) {
        try {
            Run open = screen.session().trainer().run();
            begin(open != null && open.name().equals(name) ? open : Run.open(screen.session().storage(), name));
        } catch (IOException | BundleException | IllegalStateException error) {
            screen.tell(error.getMessage());
        }
    }

    @Override
    public void reload() {
        List<String> names = new ArrayList<>();
        names.add(screen.getString(R.string.new_run));
        names.addAll(Storage.names(screen.session().storage().runs(), RunFolder.JOB));
        Run open = screen.session().trainer().run();
        if (open != null && !names.contains(open.name())) {
            names.add(1, open.name());
        }
        choice.show(names);
        if (open != null) {
            choice.choose(open.name());
        }
        onlyWhileCharging.setChecked(screen.session().onlyWhileCharging());
    }

    @Override
    public void refresh() {
        Session session = screen.session();
        Trainer trainer = session.trainer();
        boolean running = trainer.state().isActive();
        start.setEnabled(!trainer.isBusy() && !session.comparison().isBusy());
        start.setText(trainer.state() == RunState.PAUSED ? R.string.resume : R.string.start);
        pause.setEnabled(running && !trainer.isEnding());
        stop.setEnabled(trainer.isBusy());
        message.setText(trainer.message());
        device.setText(session.device().describe());
        chart.show(screen.charts());
    }

    /** Shows the steps that the run has. */
    @Override
    public void onItemSelected(AdapterView<?> list, View view, int position, long id) {
        if (!screen.isBound() || screen.session().trainer().isBusy()) {
            return;
        }
        try {
            Run run = chosen();
            if (run != null) {
                screen.endReplay();
                steps.setText(String.valueOf(run.totalSteps()));
                if (run != screen.session().trainer().run()) {
                    screen.session().trainer().open(run, Texts.offer(run.folder().storedStep()));
                }
            }
        } catch (IOException | BundleException error) {
            screen.tell(error.getMessage());
        }
    }

    @Override
    public void onNothingSelected(AdapterView<?> list) {}

    private void start() {
        try {
            Run run = chosen();
            long wanted = wantedSteps();
            if (run == null) {
                String artifact = screen.artifacts().chosen();
                if (artifact == null) {
                    throw new IOException(screen.getString(R.string.artifact_none));
                }
                run = Run.create(screen.session().storage(), artifact, wanted);
            } else {
                run.extendTo(wanted);
            }
            begin(run);
        } catch (IOException | BundleException | IllegalArgumentException | IllegalStateException error) {
            screen.tell(error.getMessage());
        }
    }

    private void begin(Run run) throws IOException {
        if (Api.has(33)) {
            Api33.askForNotifications(screen);
        }
        screen.endReplay();
        screen.session().train(run);
        screen.keepRunning();
        reload();
        choice.choose(run.name());
    }

    private long wantedSteps() throws IOException {
        String text = steps.getText().toString();
        try {
            long wanted = Long.parseLong(text);
            if (wanted >= 1) {
                return wanted;
            }
        } catch (NumberFormatException error) {
            // Told below, too.
        }
        throw new IOException(screen.getString(R.string.steps_wrong, text));
    }

    private boolean isNew(String name) {
        return name == null || name.equals(screen.getString(R.string.new_run));
    }
}
