package dev.lowpeak.demo;

import android.Manifest;
import android.app.Activity;
import android.content.pm.PackageManager;

/** What Android 13 brought. Only called where {@code Api.has(33)}. */
final class Api33 {
    private static final int REQUEST = 33;

    private Api33() {}

    /** Training goes on whatever the answer is: without the permission its notification is not shown. */
    static void askForNotifications(Activity activity) {
        String permission = Manifest.permission.POST_NOTIFICATIONS;
        if (activity.checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) {
            activity.requestPermissions(new String[] {permission}, REQUEST);
        }
    }
}
