package dev.lowpeak.demo;

import android.graphics.Canvas;
import android.graphics.DashPathEffect;
import android.graphics.Paint;
import android.graphics.Path;
import android.graphics.Typeface;
import dev.lowpeak.core.Stroke;
import dev.lowpeak.core.Surface;

/** Android's canvas for core's drawing. */
final class CanvasSurface implements Surface {
    private final Paint fill = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint stroke = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint text = new Paint(Paint.ANTI_ALIAS_FLAG | Paint.SUBPIXEL_TEXT_FLAG);
    private Canvas canvas;

    CanvasSurface() {
        stroke.setStyle(Paint.Style.STROKE);
        stroke.setStrokeJoin(Paint.Join.ROUND);
        stroke.setStrokeCap(Paint.Cap.BUTT);
    }

    /** What is drawn on from now on. */
    CanvasSurface on(Canvas drawn) {
        canvas = drawn;
        return this;
    }

    @Override
    public void rect(float left, float top, float right, float bottom, int color) {
        fill.setColor(color);
        canvas.drawRect(left, top, right, bottom, fill);
    }

    @Override
    public void roundRect(float left, float top, float right, float bottom, float radius, int color) {
        fill.setColor(color);
        canvas.drawRoundRect(left, top, right, bottom, radius, radius, fill);
    }

    @Override
    public void line(float fromX, float fromY, float toX, float toY, Stroke style) {
        // Dashes are drawn of paths only, on some versions.
        path(new float[] {fromX, fromY, toX, toY}, 2, style);
    }

    @Override
    public void path(float[] points, int count, Stroke style) {
        if (count < 2) {
            return;
        }
        Path path = new Path();
        path.moveTo(points[0], points[1]);
        for (int i = 1; i < count; i++) {
            path.lineTo(points[2 * i], points[2 * i + 1]);
        }
        stroke.setColor(style.color);
        stroke.setStrokeWidth(style.width);
        stroke.setPathEffect(style.dash > 0 ? new DashPathEffect(new float[] {style.dash, style.dash}, 0) : null);
        canvas.drawPath(path, stroke);
    }

    @Override
    public void text(String words, float x, float baseline, Align align, float size, boolean bold, int color) {
        prepare(size, bold);
        text.setColor(color);
        text.setTextAlign(align == Align.LEFT ? Paint.Align.LEFT
                : align == Align.CENTER ? Paint.Align.CENTER : Paint.Align.RIGHT);
        canvas.drawText(words, x, baseline, text);
    }

    @Override
    public float textWidth(String words, float size, boolean bold) {
        prepare(size, bold);
        return text.measureText(words);
    }

    @Override
    public void clipped(float left, float top, float right, float bottom, Runnable drawing) {
        int saved = canvas.save();
        canvas.clipRect(left, top, right, bottom);
        drawing.run();
        canvas.restoreToCount(saved);
    }

    private void prepare(float size, boolean bold) {
        text.setTextSize(size);
        text.setTypeface(bold ? Typeface.DEFAULT_BOLD : Typeface.DEFAULT);
    }
}
