package dev.lowpeak.demo;

import android.app.Notification;
import android.app.Service;
import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.Binder;
import android.os.Handler;
import android.os.IBinder;
import android.os.Looper;
import android.os.PowerManager;
import dev.lowpeak.core.Texts;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * Holds the run. Bound by the screen; in the foreground as long as a runner works, for the system ends the children of
 * an app in the background.
 *
 * <p>{@link #keepRunning} is called by the visible screen after it has started something: from Android 12 on nobody
 * else may.
 */
public final class TrainingService extends Service {
    static final String STOP = "dev.lowpeak.demo.action.STOP";
    static final String PAUSE = "dev.lowpeak.demo.action.PAUSE";

    private static final String KEEP = "dev.lowpeak.demo.action.KEEP";
    private static final long CHECK_MILLIS = TimeUnit.SECONDS.toMillis(2);
    /** The system drops notifications that come more often. */
    private static final long NOTIFY_MILLIS = TimeUnit.SECONDS.toMillis(1);
    /** After onTimeout the system waits a few seconds, then it ends the app. */
    private static final long TIMEOUT_MILLIS = TimeUnit.SECONDS.toMillis(4);

    private final Handler handler = new Handler(Looper.getMainLooper());
    private final Runnable check = this::check;
    private final Runnable changed = this::changed;
    private final Runnable notify = this::notifyUser;
    private final BroadcastReceiver charger = new BroadcastReceiver() {
        @Override
        public void onReceive(Context context, Intent intent) {
            session.check();
        }
    };
    private Session session;
    private RunNotification notification;
    private TrainingWakeLock wakeLock;
    private Runnable endThermal = () -> {};
    private boolean foreground;
    private boolean notifying;
    private int lastStart;

    /** What the screen gets when it binds. */
    final class Access extends Binder {
        Session session() {
            return session;
        }
    }

    /** The service outlives the screen until nothing is busy. Throws IllegalStateException from the background. */
    static void keepRunning(Context context) {
        context.startForegroundService(new Intent(context, TrainingService.class).setAction(KEEP));
    }

    @Override
    public void onCreate() {
        super.onCreate();
        session = new Session(this);
        notification = new RunNotification(this);
        wakeLock = new TrainingWakeLock(this);
        session.listen(changed);
        IntentFilter power = new IntentFilter(Intent.ACTION_POWER_CONNECTED);
        power.addAction(Intent.ACTION_POWER_DISCONNECTED);
        registerReceiver(charger, power);
        if (Api.has(29)) {
            endThermal = Api29.onThermalStatus(getSystemService(PowerManager.class), status -> session.check());
        }
    }

    @Override
    public IBinder onBind(Intent intent) {
        return new Access();
    }

    @Override
    public int onStartCommand(Intent intent, int flags, int startId) {
        lastStart = startId;
        String action = intent == null ? null : intent.getAction();
        if (KEEP.equals(action)) {
            // Promised by startForegroundService, whatever has become of the run meanwhile.
            enterForeground();
            handler.removeCallbacks(check);
            handler.post(check);
        } else if (STOP.equals(action)) {
            session.stop(Texts.REASON_USER);
        } else if (PAUSE.equals(action)) {
            session.pause();
        }
        changed();
        // After a death the user is told why, and decides.
        return START_NOT_STICKY;
    }

    /** Only types with a time limit are told this; should this one get one, the checkpoint is written first. */
    @Override
    public void onTimeout(int startId, int type) {
        session.stop(getString(R.string.reason_time));
        handler.postDelayed(() -> {
            try {
                session.trainer().kill();
            } catch (IOException error) {
                session.log().add(error.getMessage());
            }
            leaveForeground();
        }, TIMEOUT_MILLIS);
    }

    @Override
    public void onDestroy() {
        session.close(getString(R.string.reason_service));
        session.unlisten(changed);
        handler.removeCallbacksAndMessages(null);
        unregisterReceiver(charger);
        endThermal.run();
        wakeLock.release();
        super.onDestroy();
    }

    private void check() {
        session.check();
        if (session.isWorking()) {
            // A step may take longer than the lock lasts.
            wakeLock.hold();
        }
        if (session.isBusy()) {
            handler.postDelayed(check, CHECK_MILLIS);
        }
    }

    private void changed() {
        if (session.isWorking()) {
            wakeLock.hold();
        } else {
            wakeLock.release();
        }
        if (!session.isBusy()) {
            leaveForeground();
        } else if (foreground && !notifying) {
            notifying = true;
            handler.postDelayed(notify, NOTIFY_MILLIS);
        }
    }

    private void notifyUser() {
        notifying = false;
        if (foreground) {
            notification.update(session);
        }
    }

    private void enterForeground() {
        Notification shown = notification.make(session);
        if (Api.has(34)) {
            Api34.startForeground(this, RunNotification.ID, shown);
        } else {
            startForeground(RunNotification.ID, shown);
        }
        foreground = true;
    }

    private void leaveForeground() {
        if (foreground) {
            foreground = false;
            stopForeground(STOP_FOREGROUND_REMOVE);
        }
        wakeLock.release();
        // By its number: a start that is on its way has been promised the foreground, and is not to be undone.
        stopSelf(lastStart);
    }
}
