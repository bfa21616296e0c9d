package dev.lowpeak.desktop;

import dev.lowpeak.core.Stroke;
import dev.lowpeak.core.Surface;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.Shape;
import java.awt.geom.Line2D;
import java.awt.geom.Path2D;
import java.awt.geom.Rectangle2D;
import java.awt.geom.RoundRectangle2D;
import java.awt.image.BufferedImage;

/** A picture that core draws on. */
public final class ImageSurface implements Surface {
    private final BufferedImage image;
    private final Graphics2D graphics;

    /** Pixels. */
    public ImageSurface(int width, int height) {
        image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        graphics = image.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_FRACTIONALMETRICS, RenderingHints.VALUE_FRACTIONALMETRICS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    }

    public BufferedImage image() {
        return image;
    }

    @Override
    public void rect(float left, float top, float right, float bottom, int color) {
        fill(new Rectangle2D.Float(left, top, right - left, bottom - top), color);
    }

    @Override
    public void roundRect(float left, float top, float right, float bottom, float radius, int color) {
        fill(new RoundRectangle2D.Float(left, top, right - left, bottom - top, 2 * radius, 2 * radius), color);
    }

    @Override
    public void line(float fromX, float fromY, float toX, float toY, Stroke stroke) {
        draw(new Line2D.Float(fromX, fromY, toX, toY), stroke);
    }

    @Override
    public void path(float[] points, int count, Stroke stroke) {
        Path2D.Float path = new Path2D.Float();
        for (int i = 0; i < count; i++) {
            if (i == 0) {
                path.moveTo(points[0], points[1]);
            } else {
                path.lineTo(points[2 * i], points[2 * i + 1]);
            }
        }
        draw(path, stroke);
    }

    @Override
    public void text(String text, float x, float baseline, Align align, float size, boolean bold, int color) {
        float width = textWidth(text, size, bold);
        float start = align == Align.LEFT ? x : align == Align.CENTER ? x - width / 2 : x - width;
        graphics.setFont(font(size, bold));
        graphics.setColor(new Color(color, true));
        graphics.drawString(text, start, baseline);
    }

    @Override
    public float textWidth(String text, float size, boolean bold) {
        return (float) font(size, bold).getStringBounds(text, graphics.getFontRenderContext()).getWidth();
    }

    @Override
    public void clipped(float left, float top, float right, float bottom, Runnable drawing) {
        Shape before = graphics.getClip();
        graphics.clip(new Rectangle2D.Float(left, top, right - left, bottom - top));
        try {
            drawing.run();
        } finally {
            graphics.setClip(before);
        }
    }

    private void fill(Shape shape, int color) {
        graphics.setColor(new Color(color, true));
        graphics.fill(shape);
    }

    private void draw(Shape shape, Stroke stroke) {
        graphics.setColor(new Color(stroke.color, true));
        float[] dashes = stroke.dash > 0 ? new float[] {stroke.dash, stroke.dash} : null;
        graphics.setStroke(new BasicStroke(
                stroke.width, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, dashes, 0));
        graphics.draw(shape);
    }

    private static Font font(float size, boolean bold) {
        return new Font(Font.SANS_SERIF, bold ? Font.BOLD : Font.PLAIN, 1).deriveFont(size);
    }
}
