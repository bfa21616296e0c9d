package dev.lowpeak.demo;

import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.content.Context;
import android.content.Intent;
import android.graphics.drawable.Icon;
import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.Units;

/** What the system's shade shows of the run: quiet, as long as it goes on. */
final class RunNotification {
    static final int ID = 1;

    private static final String CHANNEL = "training";

    private final Context context;
    private final NotificationManager manager;

    RunNotification(Context context) {
        this.context = context;
        manager = context.getSystemService(NotificationManager.class);
        manager.createNotificationChannel(new NotificationChannel(
                CHANNEL, context.getString(R.string.channel), NotificationManager.IMPORTANCE_LOW));
    }

    void update(Session session) {
        manager.notify(ID, make(session));
    }

    Notification make(Session session) {
        Trainer trainer = session.trainer();
        ChartModel charts = trainer.charts();
        Notification.Builder made = new Notification.Builder(context, CHANNEL)
                .setSmallIcon(R.drawable.status)
                .setContentTitle(title(session))
                .setContentText(trainer.isBusy() ? trainer.message() : context.getString(R.string.comparing))
                .setOngoing(true)
                .setOnlyAlertOnce(true)
                .setShowWhen(false)
                .setCategory(Notification.CATEGORY_PROGRESS)
                .setContentIntent(PendingIntent.getActivity(context, 0,
                        new Intent(context, MainActivity.class).addFlags(Intent.FLAG_ACTIVITY_SINGLE_TOP),
                        PendingIntent.FLAG_IMMUTABLE))
                .addAction(action(R.string.stop, TrainingService.STOP));
        if (trainer.isBusy() && charts.totalSteps() > 0) {
            made.setProgress((int) charts.totalSteps(), (int) charts.step(), charts.step() == 0);
        }
        if (trainer.state().isActive() && !trainer.isEnding()) {
            made.addAction(action(R.string.pause, TrainingService.PAUSE));
        }
        return made.build();
    }

    private String title(Session session) {
        ChartModel charts = session.trainer().charts();
        if (!session.trainer().isBusy() || charts.loss().size() == 0) {
            return context.getString(R.string.app_name);
        }
        return context.getString(R.string.notification_title, charts.step(), charts.totalSteps(),
                Units.loss(charts.smoothLoss().last()), Units.megabytes(charts.resident().last()));
    }

    private Notification.Action action(int text, String name) {
        Intent intent = new Intent(context, TrainingService.class).setAction(name);
        PendingIntent pending = PendingIntent.getService(context, 0, intent, PendingIntent.FLAG_IMMUTABLE);
        return new Notification.Action.Builder(
                Icon.createWithResource(context, R.drawable.status), context.getString(text), pending).build();
    }
}
