package dev.lowpeak.demo;

import android.app.Activity;
import android.app.ActivityManager;
import android.content.ActivityNotFoundException;
import android.content.ComponentName;
import android.content.Intent;
import android.content.ServiceConnection;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.IBinder;
import android.os.Looper;
import android.view.View;
import android.widget.TextView;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.ExitReason;
import dev.lowpeak.core.ExitReasons;
import dev.lowpeak.core.StepMetrics;
import dev.lowpeak.core.Texts;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;

/** The screen. It holds nothing of a run: when it is turned or gone, the service goes on, and it binds again. */
public final class MainActivity extends Activity {
    /** Of `lowpeak deploy --app --run`; its extras are the names of the folders that were pushed. */
    static final String TRAIN = "dev.lowpeak.demo.action.TRAIN";
    /** Of the same when it is interrupted; its extra is the run. */
    static final String STOP = TrainingService.STOP;

    private static final String EXTRA_ARTIFACT = "artifact";
    private static final String EXTRA_RUN = "run";
    private static final String STATE_ARTIFACT = "artifact";
    private static final long REFRESH_MILLIS = 250;

    private final Handler handler = new Handler(Looper.getMainLooper());
    private final Runnable refresh = this::refresh;
    private final Runnable changed = this::changed;
    private final List<Runnable> whenBound = new ArrayList<>();
    private final List<Consumer<Uri>> picks = new ArrayList<>();
    private final ServiceConnection connection = new ServiceConnection() {
        @Override
        public void onServiceConnected(ComponentName name, IBinder binder) {
            bound(((TrainingService.Access) binder).session());
        }

        @Override
        public void onServiceDisconnected(ComponentName name) {
            session = null;
        }
    };
    private ArtifactPanel artifacts;
    private TrainPanel training;
    private List<Panel> panels;
    private View content;
    private TextView notice;
    private Session session;
    private Replay replay;
    private boolean wasBusy;
    private boolean refreshing;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.main);
        content = findViewById(R.id.content);
        content.setVisibility(View.INVISIBLE);
        notice = findViewById(R.id.notice);
        artifacts = new ArtifactPanel(this);
        training = new TrainPanel(this);
        panels = Arrays.asList(artifacts, new ExamplesPanel(this), training, new ComparePanel(this, training),
                new AdapterPanel(this, training), new LogPanel(this));
        if (state == null) {
            take(getIntent());
        } else {
            whenBound(() -> artifacts.choose(state.getString(STATE_ARTIFACT)));
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putString(STATE_ARTIFACT, artifacts.chosen());
    }

    @Override
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        take(intent);
    }

    @Override
    protected void onStart() {
        super.onStart();
        bindService(new Intent(this, TrainingService.class), connection, BIND_AUTO_CREATE);
    }

    @Override
    protected void onStop() {
        endReplay();
        if (session != null) {
            session.unlisten(changed);
        }
        session = null;
        // Nothing can be touched before the service is there again.
        content.setVisibility(View.INVISIBLE);
        unbindService(connection);
        handler.removeCallbacksAndMessages(null);
        refreshing = false;
        super.onStop();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (result == RESULT_OK && data != null && data.getData() != null && request < picks.size()) {
            Uri picked = data.getData();
            whenBound(() -> picks.get(request).accept(picked));
        }
    }

    static Intent openDocument(String type) {
        return new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type);
    }

    /**
     * Says what becomes of a document that the user picks; returns the number for {@link #pick}. Called as the screen
     * is made, in the same order each time: the screen may be made anew while the user picks.
     */
    int onPicked(Consumer<Uri> taker) {
        picks.add(taker);
        return picks.size() - 1;
    }

    /** Lets the user pick a document or folder. */
    void pick(int number, Intent intent) {
        try {
            startActivityForResult(intent, number);
        } catch (ActivityNotFoundException error) {
            tell(getString(R.string.no_picker));
        }
    }

    boolean isBound() {
        return session != null;
    }

    Session session() {
        return session;
    }

    ArtifactPanel artifacts() {
        return artifacts;
    }

    /** What is drawn: a replay, or the run. */
    ChartModel charts() {
        return replay != null ? replay.charts() : session.trainer().charts();
    }

    void replay(List<StepMetrics> steps) {
        endReplay();
        replay = new Replay(handler, steps, changed);
        tell(getString(R.string.replaying, steps.size()));
        replay.start();
    }

    void endReplay() {
        if (replay != null) {
            replay.end();
            replay = null;
        }
    }

    /** A line at the top, which a screen reader says. */
    void tell(String text) {
        session.background().tell(text);
    }

    /** Something was started: the service must not end with the screen. */
    void keepRunning() {
        try {
            TrainingService.keepRunning(this);
        } catch (IllegalStateException error) {
            session.stop(getString(R.string.reason_background));
            tell(error.getMessage());
        }
    }

    private void whenBound(Runnable task) {
        if (isBound()) {
            task.run();
        } else {
            whenBound.add(task);
        }
    }

    private void bound(Session made) {
        session = made;
        session.listen(changed);
        explainLastEnd();
        reload();
        for (Runnable task : whenBound) {
            task.run();
        }
        whenBound.clear();
        refresh();
        content.setVisibility(View.VISIBLE);
    }

    /** Of a run that was going on when the app ended: the system knows why, and it can be continued. */
    private void explainLastEnd() {
        String name = session.marker().run();
        if (name == null || session.trainer().isBusy()) {
            return;
        }
        session.marker().clear();
        try {
            Run run = Run.open(session.storage(), name);
            ExitReason known = Api.has(30)
                    ? Api30.lastExit(getSystemService(ActivityManager.class), getPackageName()) : null;
            ExitReason reason = known != null ? known : ExitReasons.ofAndroid(0, 0, false);
            session.trainer().open(run, Texts.appEnded(reason, run.folder().storedStep(), run.needsEncoding()));
        } catch (IOException | BundleException error) {
            tell(error.getMessage());
        }
    }

    private void take(Intent intent) {
        String run = intent.getStringExtra(EXTRA_RUN);
        if (TRAIN.equals(intent.getAction())) {
            String artifact = intent.getStringExtra(EXTRA_ARTIFACT);
            whenBound(() -> train(artifact, run));
        } else if (STOP.equals(intent.getAction())) {
            whenBound(() -> {
                if (isOpen(run)) {
                    session.stop(getString(R.string.reason_computer));
                }
            });
        }
    }

    private void train(String artifact, String run) {
        reload();
        artifacts.choose(artifact);
        if (!session.isBusy()) {
            training.train(run);
        } else if (!isOpen(run)) {
            tell(getString(R.string.busy, run));
        }
    }

    private boolean isOpen(String run) {
        Run open = session.trainer().run();
        return open != null && open.name().equals(run);
    }

    private void reload() {
        panels.forEach(Panel::reload);
    }

    /** At most four times a second. */
    private void changed() {
        if (!refreshing) {
            refreshing = true;
            handler.postDelayed(refresh, REFRESH_MILLIS);
        }
    }

    private void refresh() {
        refreshing = false;
        if (!isBound()) {
            return;
        }
        boolean busy = session.isBusy() || session.background().isBusy();
        if (wasBusy && !busy) {
            reload();
        }
        wasBusy = busy;
        String text = session.background().message();
        if (!text.contentEquals(notice.getText())) {
            notice.setText(text);
        }
        panels.forEach(Panel::refresh);
    }
}
